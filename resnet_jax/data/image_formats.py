"""The kinds of image files that are read, and the suffixes that files of each kind have."""

from __future__ import annotations

from collections.abc import Mapping

FORMATS: Mapping[str, tuple[str, ...]] = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "QOI": (".qoi",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "SUN": (".ras",),
    "PCX": (".pcx",),
    "TGA": (".tga", ".icb", ".vda", ".vst"),
}
"""Pillow's names of the raster pictures that it decodes itself, with their suffixes in lower case.

For others it may start programs (EPS), or they are films, documents or vector drawings.
"""

SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)
"""Suffixes of the files that count as images, in lower case."""

# Without a signature at their beginning, almost any damaged file would pass for one of these.
_BY_SUFFIX_ONLY = ("PCX", "TGA")


def formats_of(suffix: str) -> tuple[str, ...]:
    """Return the formats that a file of this suffix may have.

    Most formats are known by their first bytes, whatever the suffix; those that are not are tried
    for their own suffixes only.

    Args:
        suffix: the file's suffix, with the dot.

    >>> "TGA" in formats_of(".png"), "TGA" in formats_of(".TGA")
    (False, True)
    """
    return tuple(
        name
        for name, suffixes in FORMATS.items()
        if name not in _BY_SUFFIX_ONLY or suffix.lower() in suffixes
    )
