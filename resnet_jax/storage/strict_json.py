"""JSON that every parser can read: no NaN, and NumPy and JAX numbers as plain numbers."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import atomic_path
from .messages import first_line


class JsonError(ValueError):
    """A file is not the JSON object that it should be; the message names the file."""


def to_plain(value: Any, where: str = "value", *, nan: bool = False) -> Any:
    """Return `value` in the types of JSON: dict, list, str, int, float, bool and None.

    NumPy and JAX scalars and arrays become numbers and lists, paths become strings, and tuples
    become lists.

    Args:
        value: a value of any depth; keys of mappings are str.
        where: name of the value in error messages.
        nan: whether NaN and infinities, which JSON cannot hold, become None.

    Raises:
        ValueError: if a key is not a str, or JSON cannot hold a value.

    >>> to_plain({"rate": np.float32(0.5), "sizes": (1, np.int64(2))})
    {'rate': 0.5, 'sizes': [1, 2]}
    """
    if isinstance(value, np.generic) or (hasattr(value, "__array__") and hasattr(value, "dtype")):
        value = _from_array(value, where)
    elif isinstance(value, os.PathLike):
        value = os.fsdecode(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _checked(value, where)
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        if nan:
            return None
        raise ValueError(f"{where} is {value}, which JSON cannot hold")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{where} has the key {key!r}; keys must be str")
            _checked(key, f"a key of {where}")
        return {key: to_plain(item, f"{where}[{key!r}]", nan=nan) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, f"{where}[{at}]", nan=nan) for at, item in enumerate(value)]
    raise ValueError(f"{where} is a {type(value).__name__}, which JSON cannot hold")


def _from_array(value: Any, where: str) -> Any:
    """Return a NumPy or JAX array or scalar as a nested list or a plain scalar."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in "biuU":
            return array.tolist()
        if array.dtype.kind == "f":
            # Python has no number for `longdouble`, and `tolist` would leave it as it is.
            return array.astype(np.float64).tolist()
        # NumPy does not know the kind of bfloat16, float8 and int4, which come from `ml_dtypes`.
        if array.dtype.kind == "V" and array.dtype.type is not np.void:
            is_integer = array.dtype.name.startswith(("int", "uint"))
            return array.astype(np.int64 if is_integer else np.float64).tolist()
    except (TypeError, ValueError):
        pass  # a random key of JAX, or bytes without a meaning
    raise ValueError(f"{where} has dtype {value.dtype}, which JSON cannot hold")


def _checked(text: str, where: str) -> str:
    """Return `text`, or raise if it has no UTF-8, like the path of a file with another encoding."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} is {text!r}, which UTF-8 cannot encode") from error
    return text


def dumps(value: Any, *, nan: bool = False, indent: int | None = None) -> str:
    """Return `value` as JSON text.

    Args:
        value: a value that `to_plain` accepts.
        nan: whether NaN and infinities become null.
        indent: number of spaces for each level; None writes everything in one line.

    Raises:
        ValueError: if JSON cannot hold the value.
    """
    return json.dumps(to_plain(value, nan=nan), indent=indent, ensure_ascii=False, allow_nan=False)


def write_json(path: str | os.PathLike[str], mapping: Mapping[str, Any]) -> None:
    """Write `mapping` as a JSON file, completely or not at all; NaN and infinities become null.

    Args:
        path: path of the file; missing parent folders are created, an existing file is replaced.
        mapping: values that `to_plain` accepts.

    Raises:
        ValueError: if JSON cannot hold a value; nothing is written.
        OSError: if the file cannot be written; an existing file stays as it was.
    """
    text = dumps(mapping, nan=True, indent=2)
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: path of the file.

    Raises:
        JsonError: if the file cannot be read, or is not a JSON object, or contains NaN or an
            infinity.
    """
    try:
        values = json.loads(path.read_bytes(), parse_constant=_refuse)
    except OSError as error:
        raise JsonError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise JsonError(f"{path} cannot be read as JSON: {first_line(error)}") from error
    if not isinstance(values, dict):
        raise JsonError(f"{path} is not a JSON object")
    return values


def _refuse(constant: str) -> None:
    """Raise for a constant that `json` reads although JSON does not have it, such as `NaN`."""
    raise ValueError(f"{constant} is not JSON")
