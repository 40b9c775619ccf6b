"""What a user can mend: which errors these are, and what is said of each."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
from safetensors import SafetensorError

from resnet_jax.run import NonFiniteLossError
from resnet_jax.storage import first_line, one_line

SAVE_MEMORY = (
    "try a smaller `batch_size`, more `accumulate_steps` (--accumulate-steps), --remat, or images "
    "of a smaller `resize`"
)
"""What a user whose memory is too small can do."""

_NO_BACKEND = re.compile(
    r"(unable to|could not) initialize backend|unknown backend"
    r"|^backend '.*' (is not in|provides no|failed)",
    re.IGNORECASE,
)


class Mistake(NamedTuple):
    """A kind of error that a user can mend.

    Attributes:
        kind: type of the error.
        says: whether an error of this type is of this kind.
        message: returns what is said of it, in one line.
    """

    kind: type[BaseException]
    says: Callable[[BaseException], bool]
    message: Callable[[BaseException], str]


def _always(error: BaseException) -> bool:
    """Return True, whatever the error says."""
    return True


def _containing(*parts: str) -> Callable[[BaseException], bool]:
    """Return a function that looks for any of some texts in the message of an error."""
    return lambda error: any(part in str(error) for part in parts)


def _out_of_memory(error: BaseException) -> str:
    """Say that the memory was too small, how much was missing, and what would take less."""
    reason = f": {first_line(error)}" if str(error) else ""
    return f"out of memory{reason}; {SAVE_MEMORY}"


def _finding_no_backend(error: BaseException) -> bool:
    """Return whether JAX found none of the devices that it was to use."""
    if isinstance(error, RuntimeError):
        return bool(_NO_BACKEND.search(str(error)))
    # For devices whose plugin is not installed JAX has an assertion without a message.
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals["__name__"].endswith(".xla_bridge")


def _no_backend(error: BaseException) -> str:
    """Say which devices could not be used."""
    platforms = os.environ.get("JAX_PLATFORMS")
    reason = one_line(error).rstrip(".") if str(error) else "they cannot be initialised"
    return (
        f"the devices of the environment variable JAX_PLATFORMS (={platforms!r}) cannot be used: "
        f"{reason}; name devices that are there, such as cpu, or unset it"
    )


def _without_working_directory(error: BaseException) -> bool:
    """Return whether relative paths mean nothing any more."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _of_the_system(error: BaseException) -> str:
    """Return the message of an `OSError`: the file, and what the system says of it."""
    if not isinstance(error, OSError) or not error.strerror:
        return one_line(error)
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return one_line(": ".join((*([" -> ".join(names)] if names else []), error.strerror)))


MISTAKES = (
    Mistake(MemoryError, _always, _out_of_memory),
    Mistake(
        jax.errors.JaxRuntimeError,
        _containing("RESOURCE_EXHAUSTED", "Out of memory", "out of memory"),
        _out_of_memory,
    ),
    Mistake(
        jax.errors.JaxRuntimeError,
        _containing("Disallowed host-to-device transfer", "Disallowed device-to-host transfer"),
        lambda error: (
            "JAX_TRANSFER_GUARD forbids transfers that a command makes before and between its "
            "steps; unset it, or guard the steps of your own loop with `jax.transfer_guard`"
        ),
    ),
    Mistake(
        OverflowError,
        # The number of pixels in a batch, by which a mean is divided, has more than 32 bits;
        # less memory (--remat) leaves it as it is.
        _containing("overflow was encountered while parsing an argument to a jitted"),
        lambda error: (
            "a batch has 2^31 pixels or more, which batch normalisation cannot count; try a "
            "smaller `batch_size`, more `accumulate_steps` (--accumulate-steps), or images of a "
            "smaller `resize`"
        ),
    ),
    Mistake(RuntimeError, _finding_no_backend, _no_backend),
    Mistake(AssertionError, _finding_no_backend, _no_backend),
    Mistake(
        RuntimeError,
        _containing("determine home directory"),
        lambda error: f"{first_line(error)}; set HOME",
    ),
    Mistake(
        FileNotFoundError,
        _without_working_directory,
        lambda error: "the working directory was deleted; change to another",
    ),
    Mistake(OSError, _always, _of_the_system),
    Mistake(SafetensorError, _containing("I/O error"), one_line),
    Mistake(ValueError, _always, one_line),
    Mistake(ImportError, _always, one_line),
    Mistake(NonFiniteLossError, _always, one_line),
)
"""The kinds; the first one that an error is of counts."""


def explain(error: BaseException) -> str | None:
    """Return in one line what a user can mend; None for an error that is a defect.

    Args:
        error: what ended a command.
    """
    for mistake in MISTAKES:
        if isinstance(error, mistake.kind) and mistake.says(error):
            return mistake.message(error)
    return None
