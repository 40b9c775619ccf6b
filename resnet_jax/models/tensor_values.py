"""The values of torch tensors as NumPy arrays, and the two layouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .torch_names import WeightsError, torch_axes


def numpy_of(value: Any, name: str) -> np.ndarray:
    """Return a tensor's values as a NumPy array; only half precision is copied.

    Args:
        value: a torch tensor, or what NumPy can read.
        name: its name, for the message.

    Raises:
        WeightsError: if it is none, or has no values of its own.
    """
    if not hasattr(value, "detach"):
        if isinstance(value, Mapping | str | bytes | None):
            return np.array(type(value).__name__)
        return np.asarray(value)
    try:
        value = value.detach().cpu()
        if value.is_floating_point() and value.itemsize < 4:
            # A tensor that repeats a few values could claim any size.
            if value.untyped_storage().nbytes() < value.nelement() * value.itemsize:
                raise WeightsError(f"`{name}` has fewer values than its shape {list(value.shape)}")
            value = value.float()  # torch cannot convert bfloat16 to NumPy
        return np.asarray(value.numpy())
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise WeightsError(
            f"`{name}` is a {value.layout} tensor on {value.device}, without "
            "values that NumPy can hold"
        ) from error


def at_least_float32(array: np.ndarray) -> np.ndarray:
    """Return float64 as it is, and everything else as float32.

    Args:
        array: numbers.
    """
    return array if array.dtype == np.float64 else array.astype(np.float32)


def flax_layout(array: np.ndarray) -> np.ndarray:
    """Return an array of torch's layout in Flax's.

    Args:
        array: a parameter or a statistic.
    """
    return array.transpose(np.argsort(torch_axes(array.ndim)))


def torch_layout(array: np.ndarray) -> np.ndarray:
    """Return an array of Flax's layout in torch's.

    Args:
        array: a parameter or a statistic.
    """
    return array.transpose(torch_axes(array.ndim))
