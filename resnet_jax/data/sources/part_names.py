"""The names of folders that a data set is divided into."""

from __future__ import annotations

import re
from collections.abc import Mapping

PARTS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training", "trn"),
    "valid": (
        *("valid", "val", "validation", "validate", "vld"),
        *("dev", "devel", "development", "eval", "evaluation"),
    ),
    "test": ("test", "testing", "tests", "tst"),
}
"""Parts, with the spellings that their folders may have, in any case."""

_BY_SPELLING = {spelling: part for part, spellings in PARTS.items() for spelling in spellings}


def part_of(name: str) -> str | None:
    """Return the part that a folder of this name stands for, or None.

    Case, hyphens, underscores, points and spaces do not matter, nor does an ending such as `set`.

    Args:
        name: the name of the folder.

    >>> part_of("Training"), part_of("VAL"), part_of("test_set"), part_of("cat")
    ('train', 'valid', 'test', None)
    """
    plain = re.sub(r"[-_. ]", "", name.casefold())
    return _BY_SPELLING.get(plain) or _BY_SPELLING.get(
        re.sub(r"(set|data|split|images)$", "", plain)
    )
