"""Exit codes: one line for what a user can mend, the signals, any text, and paths of a home."""

import errno
import importlib.util
import io
import os
import pwd
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jax
import numpy as np
import pytest
from rich.console import Console
from safetensors import SafetensorError

from experiments.cli import advise_when_stopped, exit_code, parse
from resnet_jax.run import Interrupted, NonFiniteLossError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("two\nlines"), 2, "error: two lines"),
        (FileExistsError("there"), 2, "error: there"),
        (OSError(errno.ENOSPC, "No space left", "a/b"), 2, "error: a/b: No space left"),
        (OSError(errno.EXDEV, "Other disk", "a", None, "b"), 2, "error: a -> b: Other disk"),
        (MemoryError(), 2, "error: out of memory; try a smaller `batch_size`.*`resize`"),
        (
            np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype("uint8")),
            2,
            "error: out of memory: Unable to allocate 1.00 TiB .*; try a smaller `batch_size`.*",
        ),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nx"),
            2,
            "error: out of memory: RESOURCE_EXHAUSTED: .* 9 bytes; try .*--accumulate-steps.*",
        ),
        (
            jax.errors.JaxRuntimeError("INVALID_ARGUMENT: Disallowed host-to-device transfer: x"),
            2,
            "error: JAX_TRANSFER_GUARD forbids transfers .*; unset it, or guard the steps .*",
        ),
        (
            OverflowError("An overflow was encountered while parsing an argument to a jitted\nx"),
            2,
            r"error: a batch has 2\^31 pixels or more, which batch normalisation cannot count; "
            r"try a smaller `batch_size`, more `accumulate_steps` \(--accumulate-steps\), or "
            "images of a smaller `resize`",
        ),
        (SafetensorError("I/O error: disk full"), 2, "error: I/O error: disk full"),
        (RuntimeError("Could not determine home directory."), 2, "error: .*; set HOME"),
        (ImportError("needs torch"), 2, "error: needs torch"),
        (NonFiniteLossError("NaN"), 2, "error: NaN"),
        (KeyboardInterrupt(), 130, "stopped by SIGINT"),
        (Interrupted(signal.SIGTERM, "stopped after step 3"), 143, "stopped after step 3"),
    ],
)
def test_exit_codes(error, code, message, capsys):
    def work():
        raise error

    assert exit_code(work) == code
    assert re.fullmatch(message + "\n", capsys.readouterr().err)


def test_the_code_of_the_work(capsys):
    assert [exit_code(lambda code=code: code) for code in (0, 1)] == [0, 1]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError(),
        AssertionError(),
        OverflowError(),
        RuntimeError("a defect"),
        jax.errors.JaxRuntimeError("INTERNAL"),
        SafetensorError("a defect"),
    ],
)
def test_a_defect_is_no_error_of_the_user(error):
    def work():
        raise error

    with pytest.raises(type(error)):
        exit_code(work)


HAS_PLUGIN = importlib.util.find_spec("jax_plugins") is not None


@pytest.mark.parametrize(
    "platforms",
    ["gpux", "cpu,gpux", pytest.param("cuda", marks=pytest.mark.skipif(HAS_PLUGIN, reason="is"))],
)
def test_a_backend_that_is_not_there(platforms):
    code = "import jax, experiments.cli; raise SystemExit(experiments.cli.exit_code(jax.devices))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "JAX_PLATFORMS": platforms},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert re.fullmatch(
        rf"error: [^\n]*JAX_PLATFORMS \(='{platforms}'\) cannot be used: [^\n]+\n", result.stderr
    )


def test_a_working_directory_that_was_deleted(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert exit_code(lambda: len(str(Path("a").absolute()))) == 2
    message = "error: the working directory was deleted; change to another\n"
    assert capsys.readouterr().err == message
    assert exit_code(lambda: Path("a").write_text("")) == 2
    assert capsys.readouterr().err == message


def stream(monkeypatch, name, encoding):
    """A stream of the process, as bytes in memory."""
    replaced = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, name, replaced)
    return replaced


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_text_can_be_printed(monkeypatch, encoding):
    """Whatever the terminal encodes, undecodable bytes of a file's name among it."""
    output, errors = (stream(monkeypatch, name, encoding) for name in ("stdout", "stderr"))

    def work():
        print("日本-\udcff")
        print("日本-\udcff", file=sys.stderr)
        raise ValueError("日本-\udcff")

    assert exit_code(work) == 2
    text = "日本-\\udcff" if encoding == "utf-8" else "\\u65e5\\u672c-\\udcff"
    assert output.buffer.getvalue().decode(encoding) == f"{text}\n"
    assert errors.buffer.getvalue().decode(encoding) == f"{text}\nerror: {text}\n"
    assert (output.errors, errors.errors) == ("strict", "strict")


def closed_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    return os.fdopen(writing, "w", encoding="utf-8")


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_reader_that_has_gone(monkeypatch, capsys, buffered, wrapped):
    """As of `| head -1`: quiet, with the code of a program that SIGPIPE ends."""

    def work():
        try:
            print("a line", flush=not buffered)
        except BrokenPipeError as error:
            if wrapped:
                raise ValueError("cannot write") from error
            raise
        return 0

    output = closed_pipe()
    monkeypatch.setattr(sys, "stdout", output)
    assert exit_code(work) == 141
    output.close()  # What is left in the buffer is no error at the end of the process, either.
    assert capsys.readouterr().err == ""


def test_nobody_reads_the_errors(monkeypatch):
    errors = closed_pipe()
    monkeypatch.setattr(sys, "stderr", errors)

    def work():
        raise ValueError("wrong")

    assert exit_code(work) == 2
    errors.close()


def test_rich_notices_that_the_reader_has_gone(monkeypatch):
    """It then ends the process with a code of its own."""
    with closed_pipe() as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert exit_code(lambda: bool(Console().print("a line"))) == 141


def test_no_streams(monkeypatch):
    """As with `>&- 2>&-`."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert exit_code(lambda: 0) == 0


def test_another_pipe_that_broke_is_an_error(capsys):
    def work():
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    assert exit_code(work) == 2
    assert capsys.readouterr().err == "error: Broken pipe\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "write",
    [
        lambda: print("a line"),
        lambda: print("a line", flush=True),
        lambda: print("line\n" * 100_000),  # more than is buffered
        lambda: Console().print("a line"),
        lambda: sys.stdout.writelines(["line\n"] * 100_000),
    ],
    ids=["buffered", "flushed", "long", "rich", "lines"],
)
def test_the_output_is_full(monkeypatch, capsys, write):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)

        def work():
            write()
            return 0

        assert exit_code(work) == 2
        assert sys.stdout is full
    assert capsys.readouterr().err == "error: standard output: No space left on device\n"


def test_sigint_while_a_command_is_imported(tmp_path):
    """No traceback, and the signal ends the process, which a shell shows as code 130."""
    slow = "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"
    (tmp_path / "tyro.py").write_text(slow)
    with subprocess.Popen(
        [sys.executable, "-m", "experiments.compare"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == -signal.SIGINT


def test_sigint_while_a_command_works():
    """`experiments` has set the signal to end the process."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        assert exit_code(lambda: os.kill(os.getpid(), signal.SIGINT)) == 130
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert exit_code(lambda: os.kill(os.getpid(), signal.SIGINT) or 0) == 0
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("when", "advice"), [(True, "; go on with --resume"), (False, "")])
def test_sigterm_interrupts(when, advice, capsys):
    before = signal.getsignal(signal.SIGTERM)

    def work():
        with advise_when_stopped("go on with --resume", when=lambda: when):
            os.kill(os.getpid(), signal.SIGTERM)
        return 0

    assert exit_code(work) == 143
    assert capsys.readouterr().err == f"stopped by SIGTERM{advice}\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_outside_of_the_main_thread():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(exit_code(lambda: 0)))
    thread.start()
    thread.join()
    assert codes == [0]


@dataclass(frozen=True)
class Inner:
    name: Literal["one", "two"] = "one"
    """Name."""


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    """Inner options."""
    count: int = 0
    """Count."""


@dataclass(frozen=True)
class Places:
    folder: Path
    """A folder."""
    cache: Path | None = None
    """Perhaps a folder."""
    weights: str = ""
    """A path or a name."""


@dataclass(frozen=True)
class Files:
    images: tuple[Path, ...]
    """Several paths."""
    places: Places
    """Nested ones."""


def test_a_home_folder_in_any_path(monkeypatch):
    """However the shell passes it on: it expands `--folder ~/x`, but not `--folder=~/x`."""
    monkeypatch.setenv("HOME", "/home/me")
    line = ["--images", "~/1.png", "a/~/2.png", "-", "~"]
    line += ["--folder=~/f", "--cache=~root/c", "--weights=~/w.pt"]
    root = Path(pwd.getpwnam("root").pw_dir)
    images = ("/home/me/1.png", "a/~/2.png", "-", "/home/me")
    assert parse(Files, line, description="") == Files(
        tuple(map(Path, images)), Places(Path("/home/me/f"), root / "c", "/home/me/w.pt")
    )


@pytest.mark.parametrize("option", ["--folder=~nobody-here/x", "--cache=~nobody-here/x"])
def test_a_home_folder_of_nobody(option, capsys):
    line = ["--images", "a.png", "--folder", "f", option]
    assert exit_code(lambda: bool(parse(Files, line, description=""))) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: [^\n]*~nobody-here/x[^\n]* no home folder [^\n]*\n", error)


def test_a_file_whose_name_begins_like_a_home_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("~draft.png").touch()
    line = ["--images", "~draft.png", "--folder", "f"]
    assert parse(Files, line, description="").images == (Path("~draft.png"),)


def test_nested_options_have_flat_names():
    assert parse(Outer, ["--name", "two"], description="") == Outer(Inner("two"))
    default = Outer(Inner("two"), 3)
    assert parse(Outer, [], description="", default=default) == default


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        exit_code(lambda: parse(Outer, ["--help"], description="What it does."))
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "What it does." in text
    assert "--name {one,two}" in text


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_what_the_garbage_collector_calls(signum, code, capsys):
    """Python says of the exception that it is ignored, and goes on."""

    class Garbage:
        def __del__(self):
            signal.raise_signal(signum)

    def work():
        garbage = Garbage()
        del garbage
        for _ in range(1000):
            time.sleep(0.01)
        return 0

    before = sys.unraisablehook
    assert exit_code(work) == code
    assert capsys.readouterr().err == f"stopped by {signum.name}\n"
    assert sys.unraisablehook is before


def test_a_shell_that_completes_nothing(capsys):
    assert exit_code(lambda: parse(Outer, ["--tyro-print-completion", "nosh"], description="")) == 2
    assert re.fullmatch(
        r"error: --tyro-print-completion cannot be had: [^\n]*bash[^\n]*nosh\n",
        capsys.readouterr().err,
    )
