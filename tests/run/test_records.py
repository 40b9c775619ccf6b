"""TFRecords: known checksums, torn and damaged records."""

import io

import pytest

from resnet_jax.run.sinks.records import crc32c, framed, read_records

# RFC 3720, appendix B.4.
CHECKSUMS = {
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(range(31, -1, -1)): 0x113FDB5C,
}


@pytest.mark.parametrize("data", CHECKSUMS, ids=("zeros", "ones", "up", "down"))
def test_checksums(data):
    assert crc32c(data) == CHECKSUMS[data]


def test_there_and_back():
    records = [b"", b"one", bytes(300)]
    assert list(read_records(io.BytesIO(b"".join(map(framed, records))))) == records


def test_torn_anywhere():
    whole, last = framed(b"one"), framed(b"two")
    for length in range(len(last)):
        assert list(read_records(io.BytesIO(whole + last[:length]))) == [b"one"]


def test_damaged_anywhere():
    whole, last = framed(b"one"), framed(b"two")
    for place in range(len(last)):
        damaged = bytearray(last)
        damaged[place] ^= 4
        assert list(read_records(io.BytesIO(whole + damaged + whole))) == [b"one"]
