"""The names of a network's classes, and which class a folder of images stands for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from resnet_jax.storage import printable, printable_name

_SYNSET = re.compile(r"(n\d{8})[\s,:]+(\S.*)")


@dataclass(frozen=True)
class Names:
    """The names of a network's classes.

    Attributes:
        shown: the name of each class that is shown, by its index.
        full: by the index of the class all its names, such as an ImageNet number and a description.
        known: whether these are names, and not only numbers.
    """

    shown: tuple[str, ...]
    full: tuple[tuple[str, ...], ...]
    known: bool = True

    @classmethod
    def of(cls, *lists: Sequence[str]) -> Names:
        """Return the names of one or more lists, which are in the order of the classes.

        Args:
            *lists: the lists; the first one is shown.
        """
        return cls(tuple(lists[0]), tuple(zip(*lists, strict=True)))

    def index(self) -> dict[str, int]:
        """Return the class of every name that is the name of one class alone.

        A description such as `n01440764 tench, Tinca tinca` has its parts as names, too; those are
        left out where they are the full name of another class.
        """
        found = _unambiguous(
            (name, index) for index, names in enumerate(self.full) for name in names
        )
        parts = _unambiguous(
            (part, index)
            for index, names in enumerate(self.full)
            for name in names
            for part in _parts(name)
        )
        taken = {_same(name) for names in self.full for name in names}
        return {part: index for part, index in parts.items() if part not in taken} | found


class ClassMapping(NamedTuple):
    """Which class each folder stands for.

    Attributes:
        indices: index of the class by the name of the folder.
        how: `"name"` or `"sorted order"`.
    """

    indices: dict[str, int]
    how: str


def map_folders(folders: Sequence[str], names: Names) -> ClassMapping:
    """Find the class of each folder, by its name, or else by the order of all folders.

    Args:
        folders: sorted names of the folders.
        names: the names of the network's classes.

    Raises:
        ValueError: naming all folders that stand for no class, or for the class of another.
    """
    index = names.index() if names.known else {}
    found = {folder: index.get(_same(folder)) for folder in folders}
    unknown = [folder for folder, label in found.items() if label is None]
    if len(unknown) == len(folders) == len(names.shown):
        return ClassMapping({folder: label for label, folder in enumerate(folders)}, "sorted order")
    if unknown:
        raise ValueError(
            f"{len(unknown)} of {len(folders)} class folders name no class of the network, which "
            f"has {_classes(names)}: {', '.join(map(printable_name, unknown))}; rename them, or "
            "give the names of the classes in a file (--class-map)"
        )
    indices = {folder: label for folder, label in found.items() if label is not None}
    by_label: dict[int, list[str]] = {}
    for folder, label in indices.items():
        by_label.setdefault(label, []).append(folder)
    twins = [" and ".join(map(printable_name, twin)) for twin in by_label.values() if len(twin) > 1]
    if twins:
        raise ValueError(f"several class folders stand for one class: {', '.join(twins)}")
    return ClassMapping(indices, "name")


def names_of_config(
    class_names: Sequence[str] | None, config: Mapping[str, Any], num_classes: int
) -> Names:
    """Return the names that weights give to their classes.

    Args:
        class_names: the names that are shown, if there are any.
        config: the `config.json` of the weights, which may have others (`label_names`,
            `label_descriptions`, `id2label`).
        num_classes: size of the logits.
    """
    lists = [] if class_names is None else [list(class_names)]
    labels = config.get("label_names")
    if isinstance(labels, list):
        lists.append([str(label) for label in labels])
        descriptions = config.get("label_descriptions")
        if isinstance(descriptions, Mapping):
            lists.append([str(descriptions.get(label, label)) for label in labels])
    for table in (labels, config.get("id2label")):
        if isinstance(table, Mapping):
            lists.append([str(table.get(str(index), index)) for index in range(num_classes)])
    fitting = [names for names in lists if len(names) == num_classes]
    if not fitting:
        return Names(tuple(map(str, range(num_classes))), ((),) * num_classes, known=False)
    return Names.of(*fitting)


def read_class_map(path: Path, num_classes: int) -> Names:
    """Read a file with a line for each class, in the order of the network's classes.

    Args:
        path: the file, in UTF-8.
        num_classes: size of the logits.

    Raises:
        ValueError: if it is no text, or has another number of lines.
        OSError: if it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"`class_map` (={printable(str(path))}) is no text in UTF-8") from error
    lines = [line.strip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    if len(lines) != num_classes or not all(lines):
        raise ValueError(
            f"`class_map` (={printable(str(path))}) has {sum(map(bool, lines)):,} names, but the "
            f"network has {num_classes:,} classes; it must have a line for each"
        )
    return Names.of(lines)


def _classes(names: Names) -> str:
    """Say how many classes there are, and a few of their names."""
    count = f"{len(names.shown):,} classes"
    if not names.known:
        return f"{count} without names"
    shown = ", ".join(map(printable_name, names.shown[:3]))
    return f"{count} such as {shown}"


def _unambiguous(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the class of each name, without the names of several classes."""
    classes: dict[str, set[int]] = {}
    for name, index in pairs:
        classes.setdefault(_same(name), set()).add(index)
    return {name: min(found) for name, found in classes.items() if len(found) == 1}


def _parts(name: str) -> list[str]:
    """Return the names inside a description.

    >>> _parts("n01440764 tench, Tinca tinca")
    ['n01440764', 'tench, Tinca tinca', 'tench', 'Tinca tinca']
    """
    match = _SYNSET.fullmatch(name)
    number, rest = ([match[1], match[2]], match[2]) if match else ([], name)
    return [*number, *(part.strip() for part in rest.split(",") if part.strip())]


def _same(name: str) -> str:
    """Return what two Unicode forms of a name have in common."""
    return unicodedata.normalize("NFC", name)
