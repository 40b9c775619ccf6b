"""Which lowering float32 convolutions have on the CPU, and why."""

from __future__ import annotations

import functools
import os
from typing import Literal, NamedTuple

from .probe import VARIABLE, ask, unasked


class CpuLowering(NamedTuple):
    """The lowering of float32 convolutions on the CPU.

    Attributes:
        name: `onednn` for calls of the library that jaxlib is built with, `portable` for XLA's own
            operations.
        reason: Why it is used, in one line.
    """

    name: Literal["onednn", "portable"]
    reason: str

    def __str__(self) -> str:
        """Return name and reason as one line."""
        return f"{self.name} ({self.reason})"


def cpu_lowering() -> CpuLowering:
    """Return the lowering that float32 convolutions have on the CPU.

    oneDNN is the faster one. It is used where a child process, which takes a few seconds, has
    computed the right numbers with it; the answer is kept in the user's cache folder. A process
    asks when it first lowers a convolution for the CPU, or here. The environment variable
    `RESNET_JAX_ONEDNN` forbids oneDNN (`0`), uses it without asking (`1`), or neither (`auto`, the
    default).

    Whatever this says, programs that a partitioner splits over several devices, and exported ones,
    have the portable lowering.

    Raises:
        ValueError: If `RESNET_JAX_ONEDNN` has another value.
    """
    setting = os.environ.get(VARIABLE) or "auto"
    if setting == "auto":
        return _asked()
    if setting not in ("0", "1"):
        raise ValueError(f"`{VARIABLE}` (={setting}) must be auto, 0 or 1")
    return CpuLowering("onednn" if setting == "1" else "portable", f"{VARIABLE}={setting}")


@functools.cache
def _asked() -> CpuLowering:
    answer = unasked() or ask()
    return CpuLowering("onednn" if answer.works else "portable", answer.reason)
