"""Whether oneDNN's calls work with the installed jaxlib on this processor.

The format of a call is internal to XLA, and one that it cannot read may end the process. So a child
process makes the calls first, and its answer is kept in the user's cache folder for every process
with the same jaxlib on the same kind of processor.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import filelock
import jax
import jaxlib

from ...storage import JsonError, first_line, one_line, read_json, user_cache_dir, write_json

VARIABLE = "RESNET_JAX_ONEDNN"
"""Environment variable that forbids the calls (0), makes them without a probe (1), or neither."""

PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from resnet_jax.ops.conv.trial import main
main()
"""
"""What the child runs; it prints an answer as JSON. The argument is the path for imports."""

FORMAT = 2
"""Format of the calls and of the answers; bump it so that processes ask again."""

LIMIT_SECONDS = 120.0
"""Time for the child, which takes a few seconds on an idle machine, and for another's child."""

CRASHES = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV)
"""Signals that the child can only have brought on itself."""


class Answer(NamedTuple):
    """Whether the calls work, and how that is known or what is wrong."""

    works: bool
    reason: str


def unasked() -> Answer | None:
    """Return the answer where no child can give one, or None."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        return Answer(False, "oneDNN is in jaxlib for x86-64 Linux alone")
    python = Path(sys.executable or "").name
    if getattr(sys, "frozen", False) or not re.match("python|pypy", python):
        return Answer(False, "no Python interpreter is known that could try oneDNN's calls")
    return None


def ask(
    folder: Path | None = None, *, program: str = PROGRAM, limit_seconds: float = LIMIT_SECONDS
) -> Answer:
    """Return the answer of a child process, or the one that is kept.

    Several processes that ask at once start one child. What says nothing about the calls, such as
    a child that took too long, is not kept.

    Args:
        folder: For the answers; None is `resnet_jax/onednn` in the user's cache folder.
        program: What the child runs, see `PROGRAM`.
        limit_seconds: Time for the child, and for waiting for another process's.
    """
    try:
        if folder is None:
            folder = user_cache_dir() / "resnet_jax" / "onednn"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{_key(program)}.json"
        kept = _read(path)
        if kept is not None:
            return kept
        with filelock.FileLock(path.with_suffix(".lock"), timeout=limit_seconds):
            kept = _read(path)
            if kept is not None:
                return kept
            answer, lasts = _try(program, limit_seconds)
            if lasts:
                write_json(path, answer._asdict())
        return answer
    except filelock.Timeout:
        return Answer(False, "another process is trying oneDNN's calls for too long")
    except (OSError, ValueError, NotImplementedError) as error:
        return Answer(False, f"no answer can be kept: {first_line(error)}")


def _read(path: Path) -> Answer | None:
    """Return the answer that a file holds, or None without one."""
    try:
        values = read_json(path)
    except JsonError:
        return None
    works, reason = values.get("works"), values.get("reason")
    return Answer(works, reason) if isinstance(works, bool) and isinstance(reason, str) else None


def _try(program: str, limit_seconds: float) -> tuple[Answer, bool]:
    """Return the child's answer, and whether another child would give the same."""
    # Options for this process must not change the answer, which is for all.
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "XLA_FLAGS" and not name.startswith("JAX_")
    }
    paths = json.dumps([str(Path(path).absolute()) for path in sys.path])
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-c", program, paths],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit_seconds,
            check=False,
            env={**environment, "JAX_PLATFORMS": "cpu", VARIABLE: "1"},
            # Ctrl-C is for this process.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return Answer(False, f"a trial took more than {limit_seconds:g} s"), False
    if child.returncode < 0:
        number = -child.returncode
        name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
        return Answer(False, f"a trial was ended by {name}"), number in CRASHES
    try:
        values = json.loads(child.stdout.splitlines()[-1])
        return Answer(bool(values["works"]), one_line(values["reason"])), True
    except (LookupError, TypeError, ValueError):
        last = child.stderr.strip().splitlines()[-1:] or ["no answer"]
        return Answer(False, f"a trial failed: {one_line(last[0])}"), False


def _key(program: str) -> str:
    """Return a file name for what an answer depends on."""
    facts = (
        *(FORMAT, program, jax.__version__, jaxlib.__version__, jaxlib.__file__),
        *(sys.implementation.cache_tag, platform.machine(), _processor()),
    )
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()
    return f"jaxlib-{jaxlib.__version__}-{digest[:16]}"


def _processor() -> tuple[str, ...]:
    """Return the model and the instruction sets of the first processor."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    found = (
        re.search(rf"^{name}\s*:(.*)$", text, re.MULTILINE) for name in ("model name", "flags")
    )
    return tuple(match[1].strip() for match in found if match)
