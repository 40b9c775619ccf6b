"""A pickle can build arrays in containers and can call nothing."""

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
