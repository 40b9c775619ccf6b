"""Unpickling of built-in containers and NumPy arrays, which can call nothing else."""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO

import numpy as np


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """Do the one thing that Python 3 uses `_codecs.encode` for in a pickle: bytes kept as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"the pickle asks for the codec {encoding!r}")
    return text.encode("latin1")


# `ndarray.__reduce__` is the public way to the function that pickles of arrays call; its module
# has had two names.
_RECONSTRUCT = np.empty(0, np.uint8).__reduce__()[0]
_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
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
    """Load a pickle of built-in containers, numbers, text and NumPy arrays.

    Text that Python 2 wrote is decoded as Latin-1, which is also how NumPy wants its bytes.

    Args:
        file: the open pickle.

    Returns:
        The object.

    Raises:
        pickle.UnpicklingError: if the pickle names any other class or function; it is not called.
            A damaged pickle may raise other exceptions too, as `pickle` documents.
    """
    return _ArrayUnpickler(file, encoding="latin1").load()
