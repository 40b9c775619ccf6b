"""A pickle can build arrays in containers and can call nothing."""

import gc
import io
import os
import pickle

import numpy as np
import pytest

from resnet_jax.data.sources.unpickle import load_arrays

from .cifar_files import python2_batch


def load(data):
    return load_arrays(io.BytesIO(data))


def test_reads_a_python_2_batch():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 12) + 200
    batch = load(python2_batch(pixels, {"labels": [3, 4]}))
    assert batch["labels"] == [3, 4]
    assert batch["batch_label"] == "a batch"
    assert batch["filenames"] == ["café.png"] * 2
    assert batch["data"].dtype == np.uint8
    assert np.array_equal(batch["data"], pixels)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_reads_what_python_3_writes(protocol):
    original = {"data": np.arange(200, dtype=np.uint8), "labels": [1], "raw": b"\xff\x00"}
    batch = load(pickle.dumps(original, protocol))
    assert batch.keys() == original.keys()
    assert all(np.array_equal(batch[key], original[key]) for key in original)


@pytest.mark.parametrize("dtype", ["?", "<i8", ">i8", "<f4", ">u2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_reads_arrays_of_numbers(dtype, order):
    original = np.asarray(np.arange(300).reshape(30, 10), dtype, order=order)
    array = load(pickle.dumps(original, 2))
    assert array.dtype == original.dtype.newbyteorder("=")  # NumPy turns the bytes round
    assert np.array_equal(array, original)


def test_flags_of_a_damaged_type_are_not_taken_over():
    """NumPy would call functions that the type does not have, and say so when an array is freed."""
    data = pickle.dumps(np.arange(3, dtype=np.uint8), 2)
    alignment, flags = b"J\xff\xff\xff\xff", b"K\x00t"
    assert data.count(alignment + flags) == 1
    array = load(data.replace(alignment + flags, alignment + b"K\xfft"))
    assert array.dtype.flags == 0
    assert array.tolist() == [0, 1, 2]
    del array
    gc.collect()


@pytest.mark.parametrize("values", [["a", None], ["text"]])
def test_refuses_arrays_of_anything_else(values):
    with pytest.raises(pickle.UnpicklingError, match=r"asks for an array of (object|<U)"):
        load(pickle.dumps(np.array(values), 2))


class Payload:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_refuses_to_run_a_command(tmp_path, protocol):
    trace = tmp_path / "trace"
    data = pickle.dumps({"data": Payload(os.system, f"touch {trace}")}, protocol)
    with pytest.raises(pickle.UnpicklingError, match=r"asks for (posix|nt)\.system"):
        load(data)
    assert not trace.exists()


@pytest.mark.parametrize(
    "function", [eval, exec, open, getattr, __import__, np.load, np.array, bytearray, pickle.loads]
)
def test_refuses_other_functions(function):
    with pytest.raises(pickle.UnpicklingError, match="asks for"):
        load(pickle.dumps(Payload(function, "0"), 2))


def test_refuses_other_codecs():
    data = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R."
    with pytest.raises(pickle.UnpicklingError, match="codec 'rot13'"):
        load(data)


def test_refuses_dotted_names():
    with pytest.raises(pickle.UnpicklingError, match="asks for numpy"):
        load(b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.sort\x93.")
