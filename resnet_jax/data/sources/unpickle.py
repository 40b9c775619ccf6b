"""Unpickling of built-in containers and NumPy arrays of numbers, which can call nothing else."""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO

import numpy as np


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """Do the one thing that Python 3 uses `_codecs.encode` for in a pickle: bytes kept as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the pickle asks for the codec {encoding!r}")
    return text.encode("latin1")


class _Type:
    """Stands for a `numpy.dtype`, and takes nothing from a pickle but its name and byte order.

    A damaged state of a true one sets flags that NumPy trusts when it frees an array.
    """

    def __init__(self, name: str, *_: object) -> None:
        self.dtype = np.dtype(name)
        if self.dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"the pickle asks for an array of {self.dtype}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Numbers(np.ndarray):
    """An array whose state in a pickle has a `_Type`."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        version, shape, of, *rest = state
        super().__setstate__((version, shape, of.dtype, *rest))


def _reconstruct(*_: object) -> np.ndarray:
    """Return the array whose shape, type and numbers follow in the pickle."""
    return _Numbers(0, np.uint8)


_ADMITTED: dict[tuple[str, str], Any] = {
    # Its module has had two names.
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Numbers,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _latin1_bytes,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return _ADMITTED[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"the pickle asks for {module_name}.{global_name}"
            ) from None


def load_arrays(file: BinaryIO) -> Any:
    """Load a pickle of built-in containers, numbers, text and NumPy arrays of numbers.

    Text that Python 2 wrote is decoded as Latin-1, which is also how NumPy wants its bytes.

    Args:
        file: the open pickle.

    Returns:
        The object.

    Raises:
        pickle.UnpicklingError: if the pickle names any other class or function, which is not
            called, or an array of anything but numbers. A damaged pickle may raise other
            exceptions too, as `pickle` documents.
    """
    return _ArrayUnpickler(file, encoding="latin1").load()
