"""TFRecords, the frames of TensorBoard's event files, and how a file gets to the disk."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import IO, BinaryIO


def _table() -> tuple[int, ...]:
    """The remainders of all bytes by Castagnoli's polynomial, bits reversed."""
    rows = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """The CRC-32C of a few bytes.

    References:
        RFC 3720, section 12.1 and appendix B.4, https://www.rfc-editor.org/rfc/rfc3720

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    """The CRC-32C as a TFRecord has it: turned by 15 bits, a constant added, little-endian."""
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def framed(data: bytes) -> bytes:
    """A TFRecord: length and data, each with its masked CRC-32C.

    References:
        https://www.tensorflow.org/tutorials/load_data/tfrecord
    """
    length = struct.pack("<Q", len(data))
    return b"".join((length, _masked(length), data, _masked(data)))


def read_records(file: BinaryIO) -> Iterator[bytes]:
    """Yields the data of TFRecords up to the end, or to the first that is torn or damaged."""
    while True:
        length, check = file.read(8), file.read(4)
        if len(check) < 4 or check != _masked(length):
            return
        size = int.from_bytes(length, "little")
        data, check = file.read(size), file.read(4)
        if len(data) < size or check != _masked(data):
            return
        yield data


def to_disk(file: IO[str] | IO[bytes]) -> None:
    """Waits until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())
