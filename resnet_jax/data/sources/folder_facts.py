"""What is known of a folder of images before any of them is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...storage import printable, printable_name
from ..image_search import summarise
from .folder_layout import Layout
from .held_out import Files

_SHOWN = 10


class FolderFacts(NamedTuple):
    """What is known of a folder of images before any of them is read.

    Attributes:
        root: the folder.
        class_names: names in label order.
        counts: by part (`train`, `valid`, `test`) the number of images of each class.
        split_off: the parts without a folder of their own, which the training images gave.
        tests_on_valid: whether the validation images are the test images, too.
        passed_over: what is no part of the data set, in one line; empty if there is nothing.
    """

    root: Path
    class_names: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    split_off: tuple[str, ...]
    tests_on_valid: bool
    passed_over: str

    @classmethod
    def of(cls, root: Path, layout: Layout, parts: Mapping[str, Files]) -> FolderFacts:
        """Return the facts of a folder.

        Args:
            root: the folder.
            layout: what was found in it.
            parts: the files of each part.
        """
        names, tests_on_valid = layout.class_names, parts["test"] is parts["valid"]
        split_off = [part for part in parts if part not in layout.files]
        if tests_on_valid:
            split_off.remove("test")
        return cls(
            root,
            names,
            {
                part: tuple(np.bincount(files.labels, minlength=len(names)).tolist())
                for part, files in parts.items()
            },
            tuple(split_off),
            tests_on_valid,
            summarise(layout.passed_over),
        )

    @property
    def lines(self) -> tuple[str, ...]:
        """The facts for people: a line on the classes, on each part, and on what is passed over."""
        head = f"{printable(str(self.root))} has {len(self.class_names)} classes"
        parts = [self._describe(part) for part in self.counts]
        rest = [self.passed_over] if self.passed_over else []
        return (f"{head}: {_some(map(printable_name, self.class_names))}", *parts, *rest)

    def _describe(self, part: str) -> str:
        """Return a line on a part: its images, where they are from, and those of each class."""
        counts = self.counts[part]
        origin = ", split off the training images" if part in self.split_off else ""
        if part == "test" and self.tests_on_valid:
            origin = ", those of valid"
        pairs = zip(self.class_names, counts, strict=True)
        by_class = _some(f"{printable_name(name)} {count:,}" for name, count in pairs)
        plural = "s" * (sum(counts) != 1)
        return f"{part}: {sum(counts):,} image{plural}{origin} ({by_class})"


def _some(texts: Iterable[str]) -> str:
    """Return the first few of some texts, and how many more there are."""
    listed = list(texts)
    more = f", and {len(listed) - _SHOWN:,} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
