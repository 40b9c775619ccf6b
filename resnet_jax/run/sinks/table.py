"""The sinks that a run may have beside its log, by the names that a command line gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from .base import Sink
from .tensorboard import TensorBoard
from .trackers import TRACKERS, Tracker

SINKS: Mapping[str, Callable[[Path], Sink]] = MappingProxyType(
    {"tensorboard": TensorBoard, **{name: partial(Tracker, name) for name in TRACKERS}}
)
"""Constructors from the folder of a run."""


def make_sink(name: str, folder: Path) -> Sink:
    """Make a sink by name.

    Args:
        name: a key of `SINKS`.
        folder: of the run.

    Raises:
        ValueError: for another name, or if the package of the service is not installed.
    """
    if name not in SINKS:
        raise ValueError(f"`track` (={name}) must be one of {', '.join(SINKS)}")
    return SINKS[name](folder)
