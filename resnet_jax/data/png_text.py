"""PNG files without their texts, which Pillow unpacks and refuses if they are long."""

from __future__ import annotations

import struct

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})


def without_text(data: bytes) -> bytes | None:
    """Return a PNG file without its texts and colour profile, which no pixel depends on.

    Args:
        data: the contents of a file.

    Returns:
        The shorter contents, or None if the file is no PNG or has no text.

    References:
        W3C, Portable Network Graphics (third edition), 5.3 and 11.3.
    """
    if not data.startswith(_SIGNATURE):
        return None
    kept = [_SIGNATURE]
    position = len(_SIGNATURE)
    while len(data) - position >= 8:
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind not in _TEXTS:
            kept.append(data[position:end])
        position = end
    shorter = b"".join((*kept, data[position:]))
    return shorter if len(shorter) < len(data) else None
