"""Which numbers of an event are drawn as curves, and under what names."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

SCALARS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "step": {"loss": "loss", "learning_rate": "learning_rate"},
        "epoch": {
            "train_accuracy": "accuracy/train",
            "valid_accuracy": "accuracy/validation",
            "image_size": "image_size",
        },
        "test": {"test_accuracy": "accuracy/test"},
    }
)
"""Names of the curves, by the kind of an event and its field."""


def scalars(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of an event by the names of their curves.

    >>> scalars({"event": "epoch", "step": 50, "train_accuracy": 90.0, "seconds": 3.0})
    {'accuracy/train': 90.0}
    """
    names = SCALARS.get(event["event"], {})
    return {name: event[field] for field, name in names.items() if field in event}
