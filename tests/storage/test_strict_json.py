"""Strict JSON: every number that can be written, every value that cannot, and reading it back."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from resnet_jax.storage import JsonError, dumps, read_json, to_plain, write_json

INTEGERS = (
    *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    *(ml_dtypes.int4, ml_dtypes.uint4),
)
FLOATS = (
    *(np.float16, np.float32, np.float64, np.longdouble, ml_dtypes.bfloat16),
    *(ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
)
JAX_DTYPES = (
    *("bool", "int4", "uint4", "int8", "int16", "int32", "uint8", "uint16", "uint32"),
    *("float8_e4m3fn", "float8_e5m2", "bfloat16", "float16", "float32"),
)


def strict_load(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_writes_what_it_was_given(tmp_path):
    path = tmp_path / "runs" / "report.json"
    write_json(
        path,
        {
            "test_accuracy": 0.75,
            "best_epoch": 3,
            "resume": False,
            "archive": None,
            "class_names": ("Ångström", "b"),
            "config": {"run_dir": Path("a") / "b", "resize": 120},
        },
    )
    expected = {
        "test_accuracy": 0.75,
        "best_epoch": 3,
        "resume": False,
        "archive": None,
        "class_names": ["Ångström", "b"],
        "config": {"run_dir": str(Path("a") / "b"), "resize": 120},
    }
    assert strict_load(path) == expected
    assert read_json(path) == expected
    text = path.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert "Ångström" in text


@pytest.mark.parametrize("shape", [(), (2,), (1, 2)])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_numpy_integers(dtype, shape):
    plain = to_plain(np.full(shape, 3, dtype))
    assert plain == np.full(shape, 3).tolist()
    assert "." not in dumps(plain)


@pytest.mark.parametrize("shape", [(), (2,), (1, 2)])
@pytest.mark.parametrize("dtype", FLOATS)
def test_numpy_floats(dtype, shape):
    plain = to_plain(np.full(shape, 0.5, dtype))
    assert plain == np.full(shape, 0.5).tolist()
    assert json.loads(dumps(plain)) == plain


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS, np.bool_])
def test_numpy_scalars_have_the_types_of_python(dtype):
    scalar = np.ones((), dtype)[()]
    expected = bool if dtype is np.bool_ else int if dtype in INTEGERS else float
    assert type(to_plain(scalar)) is expected
    assert to_plain(scalar) == 1


@pytest.mark.parametrize("dtype", JAX_DTYPES)
def test_jax_arrays(dtype):
    assert to_plain(jnp.ones((), dtype)) == 1
    assert to_plain(jnp.ones((2, 1), dtype)) == [[1], [1]]
    expected = bool if dtype == "bool" else float if "float" in dtype else int
    assert type(to_plain(jnp.ones((), dtype))) is expected


def test_large_integers_and_strings_are_exact():
    values = {"large": np.int64(2**53 + 1), "larger": 2**100, "text": np.str_("é")}
    assert json.loads(dumps(values)) == {"large": 2**53 + 1, "larger": 2**100, "text": "é"}


def test_numbers_that_json_lacks_become_null(tmp_path):
    path = tmp_path / "report.json"
    values = {
        "nan": float("nan"),
        "inf": -np.inf,
        "numpy": np.float32("nan"),
        "list": [1.0, jnp.nan],
        "half": jnp.array(jnp.inf, jnp.bfloat16),
        "array": np.array([0.5, np.nan]),
    }
    write_json(path, values)
    assert strict_load(path) == {
        "nan": None,
        "inf": None,
        "numpy": None,
        "list": [1.0, None],
        "half": None,
        "array": [0.5, None],
    }


@pytest.mark.parametrize("value", [float("nan"), np.float32("inf"), jnp.array([1.0, jnp.nan])])
def test_numbers_that_json_lacks_are_refused_where_they_are_not_wanted(value):
    with pytest.raises(ValueError, match=r"^loss(\[1\])? is (nan|inf), which JSON cannot hold$"):
        to_plain(value, "loss")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"a": {3: 1}}, "value['a'] has the key 3; keys must be str"),
        ({"a": [1, {"b": {1, 2}}]}, "value['a'][1]['b'] is a set, which JSON cannot hold"),
        ({"a": b"x"}, "value['a'] is a bytes, which JSON cannot hold"),
        ({"a": "\udc80"}, "value['a'] is '\\udc80', which UTF-8 cannot encode"),
        ({"\udc80": 1}, "a key of value is '\\udc80', which UTF-8 cannot encode"),
        ({"a": np.array(1j)}, "value['a'] has dtype complex128, which JSON cannot hold"),
        ({"a": np.array([None])}, "value['a'] has dtype object, which JSON cannot hold"),
        ({"a": np.void(b"12")}, "value['a'] has dtype |V2, which JSON cannot hold"),
        ({"a": np.datetime64("2020")}, "value['a'] has dtype datetime64[Y], which JSON cannot"),
        ({"a": jax.random.key(0)}, "value['a'] has dtype key<fry>, which JSON cannot hold"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_the_old_file_stays(tmp_path, mapping, message):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        write_json(path, mapping)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="paths are Unicode there")
def test_a_path_without_unicode_is_refused():
    with pytest.raises(ValueError, match="cannot encode"):
        to_plain(Path(os.fsdecode(b"caf\xe9")))


def test_text_in_one_line_or_indented():
    assert dumps({"a": [1, 2.0]}) == '{"a": [1, 2.0]}'
    assert dumps({"a": 1}, indent=1) == '{\n "a": 1\n}'
    assert dumps([float("nan")], nan=True) == "[null]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[1]", " is not a JSON object"),
        (b"", " cannot be read as JSON: Expecting value"),
        (b'{"a": NaN}', " cannot be read as JSON: NaN is not JSON"),
        (b'{"a": -Infinity}', " cannot be read as JSON: -Infinity is not JSON"),
        (b'{"a": "\xff"}', " cannot be read as JSON: 'utf-8' codec"),
        (b'{"a":' + b"[" * 200_000, " cannot be read as JSON: maximum recursion"),
    ],
)
def test_a_file_that_is_no_json_object(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(JsonError, match=f"^{re.escape(str(path) + message)}"):
        read_json(path)


def test_a_file_that_is_missing(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(JsonError, match=f"^{re.escape(str(path))} cannot be read: No such file"):
        read_json(path)
