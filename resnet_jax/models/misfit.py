"""What is wrong with the tensors that a model is given, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import jax
import jax.numpy as jnp
import numpy as np

from ..storage import printable
from .torch_names import Tensor, WeightsError

SHOWN = 3
"""Names of each kind that a message shows."""

NOTES = ("wrong shape", "not floating point", "not finite")
"""What can be wrong with a tensor of the right name, in the order of a message."""


@dataclass
class Misfit:
    """Everything that is wrong with some tensors, reported at once.

    Attributes:
        missing: names of the model that are not given.
        unexpected: given names that are not the model's.
        repeated: names given twice, once with a wrapper's prefix.
        notes: what is wrong with each of the others, by the kind of fault and the name.
        advice: what to do about it.
    """

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    notes: dict[str, dict[str, str]] = field(default_factory=dict)
    advice: str | None = None

    def compare(self, given: Mapping[str, np.ndarray], expected: Mapping[str, Tensor]) -> None:
        """Note names, shapes and types that are not the model's.

        Args:
            given: arrays in torch's layout, by torch's names.
            expected: the model's tensors by the same names.
        """
        self.missing += [name for name in expected if name not in given]
        self.unexpected += [name for name in given if name not in expected]
        for name, tensor in expected.items():
            if name not in given:
                continue
            array, shape = given[name], tensor.shape
            if array.shape != shape:
                self._note("wrong shape", name, f"{array.shape}, the model's is {shape}")
            if not jnp.issubdtype(array.dtype, jnp.floating):
                self._note("not floating point", name, str(array.dtype))

    def find_not_finite(
        self, given: Mapping[str, np.ndarray], expected: Mapping[str, Tensor]
    ) -> None:
        """Note arrays of the model's shapes with NaN or infinite values, and how many they have.

        Args:
            given: arrays in torch's layout, by torch's names.
            expected: the model's tensors by the same names.
        """
        for name, tensor in expected.items():
            array = given.get(name)
            if array is None or array.shape != tensor.shape:
                continue
            if not jnp.issubdtype(array.dtype, jnp.floating):
                continue
            # Without 64-bit types numbers of torch's float64 may be too large.
            with np.errstate(over="ignore"):
                array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype))
            count = array.size - np.count_nonzero(np.isfinite(array))
            if count:
                self._note("not finite", name, f"{count} of {array.size} values")

    def _note(self, kind: str, name: str, text: str) -> None:
        self.notes.setdefault(kind, {})[name] = text

    def raise_if_any(self, summary: str) -> None:
        """Raise if anything was noted.

        Args:
            summary: begins the message.

        Raises:
            WeightsError: naming a few of each kind of fault, and the number of all.
        """
        kinds = {
            "missing": dict.fromkeys(self.missing, ""),
            "unexpected": dict.fromkeys(self.unexpected, ""),
            "repeated": dict.fromkeys(self.repeated, ""),
            **{kind: self.notes[kind] for kind in NOTES if kind in self.notes},
        }
        parts = [f"{kind}: {_few(names)}" for kind, names in kinds.items() if names]
        if parts:
            raise WeightsError("; ".join([summary, *parts, *filter(None, [self.advice])]))


def _few(names: Mapping[str, str]) -> str:
    """Return the first names in order with their notes, the number of all, and their prefix."""
    ordered = sorted(names)
    shown = [
        f"{shown_name(name)} ({names[name]})" if names[name] else shown_name(name)
        for name in ordered[:SHOWN]
    ]
    text = ", ".join(shown)
    if len(ordered) > SHOWN:
        text += f" and {len(ordered) - SHOWN} more"
    prefix = _common_prefix(ordered)
    return text + f" (all {len(ordered)} names begin with `{shown_name(prefix)}`)" * bool(prefix)


def shown_name(name: str) -> str:
    r"""Return the name of a tensor as a message shows it: in one line, and cut if it is long.

    Args:
        name: any text that a file may hold as a name.

    >>> shown_name("fc.weight\n"), len(shown_name("a" * 1000))
    ('fc.weight\\n', 81)
    """
    shown = printable(name[:200])
    return shown if len(shown) <= 80 else f"{shown[:80]}…"


def _common_prefix(names: Sequence[str]) -> str:
    """Return the levels that several names share, with the dot after them.

    >>> _common_prefix(["net.fc.bias", "net.fc.weight", "net.bn1.bias"])
    'net.'
    """
    levels = zip(*(name.split(".")[:-1] for name in names), strict=False)
    shared = takewhile(lambda parts: len(set(parts)) == 1, levels)
    return "".join(f"{parts[0]}." for parts in shared) if len(names) > 1 else ""
