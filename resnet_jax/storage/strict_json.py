"""JSON that every parser reads: no NaN, and NumPy's and JAX's numbers as plain ones."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import atomic_path


class JsonError(ValueError):
    """A file that is not the JSON object it should be; the message names it."""


def to_plain(value: Any, where: str = "value", *, nan: bool = False) -> Any:
    """Return `value` in JSON's own types.

    NumPy and JAX scalars and arrays become numbers and lists, paths become strings, tuples lists.

    Args:
        value: nested at will; the keys of mappings are str.
        where: names the value in the error.
        nan: turn NaN and infinities, for which JSON has no number, into None.

    Raises:
        ValueError: if a key is not a str, or a value has no place in JSON.

    >>> to_plain({"rate": np.float32(0.5), "sizes": (1, np.int64(2))})
    {'rate': 0.5, 'sizes': [1, 2]}
    """
    if isinstance(value, np.generic) or (hasattr(value, "__array__") and hasattr(value, "dtype")):
        value = _from_array(np.asarray(value), where)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        if nan:
            return None
        raise ValueError(f"{where} is {value}, which JSON cannot hold")
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{where} has the key {key!r}; keys must be str")
        return {key: to_plain(item, f"{where}[{key!r}]", nan=nan) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, f"{where}[{at}]", nan=nan) for at, item in enumerate(value)]
    raise ValueError(f"{where} is a {type(value).__name__}, which JSON cannot hold")


def _from_array(array: np.ndarray, where: str) -> Any:
    if array.dtype.kind in "biufU":
        return array.tolist()
    # bfloat16 and the other small floats are kinds of their own in NumPy, without a field.
    if array.dtype.kind == "V" and array.dtype.names is None:
        try:
            return array.astype(np.float64).tolist()
        except (TypeError, ValueError):
            pass
    raise ValueError(f"{where} has dtype {array.dtype}, which JSON cannot hold")


def dumps(value: Any, *, nan: bool = False, indent: int | None = None) -> str:
    """Return `value` as JSON text; see `to_plain`.

    Args:
        value: what to write.
        nan: turn NaN and infinities into null.
        indent: spaces a level; None writes one line.

    Raises:
        ValueError: for a value that JSON cannot hold.
    """
    return json.dumps(to_plain(value, nan=nan), indent=indent, ensure_ascii=False, allow_nan=False)


def write_json(path: str | os.PathLike[str], mapping: Mapping[str, Any]) -> None:
    """Write `mapping` as a JSON file, completely or not at all; NaN and infinities become null.

    Args:
        path: the file; missing parent folders are made, an existing file is replaced.
        mapping: what to write; see `to_plain`.

    Raises:
        ValueError: for a value that JSON cannot hold; nothing is written.
        OSError: if the disk does not take it; an existing file stays as it was.
    """
    text = dumps(mapping, nan=True, indent=2)
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.

    Raises:
        JsonError: if it cannot be read, or is not a JSON object without NaN.
    """
    try:
        values = json.loads(path.read_bytes(), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise JsonError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise JsonError(f"{path} is not a JSON object")
    return values


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
