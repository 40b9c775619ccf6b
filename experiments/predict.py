"""Classifies image files with the network of a run.

    python -m experiments.predict --run runs/cifar_resnet34 photo.jpg folder/of/images

Images may have any size, and be grey, RGB or transparent: each is resized, cropped in the middle
and normalised as the run's test images were. Of a folder every image file is taken, at any
depth; - reads further paths from standard input, one a line.

An image that cannot be read is named on standard error, and the others go on. Exit codes: 0 done,
1 done but for images that could not be read, 2 an error that you can mend, and nothing was done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, NamedTuple, cast

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resnet_jax.data.image_files import ImageFileError, find_images, read_images
from resnet_jax.evaluation import FlipAveraged, predict_logits

from .config import choice
from .recipe import keep_compiled
from .runs import CHOICES, Choice, Run, exit_code, open_run

FORMATS = ("table", "jsonl")
STDIN = Path("-")


@dataclass(frozen=True)
class Options:
    """What to classify, and with what."""

    images: tyro.conf.Positional[tuple[Path, ...]]
    """Image files, folders, or - for paths from standard input."""
    run: Path
    """The run folder."""
    checkpoint: Annotated[str, choice(*CHOICES)] = "best"
    """That of the best epoch by validation accuracy, or the last one."""
    top_k: int = 5
    """Classes to show of each image, the most probable first; no more than there are."""
    format: Annotated[str, choice(*FORMATS)] = "table"
    """A table for people, or a JSON object a line."""
    batch_size: int = 32
    """Images at a time; changes speed and memory only."""
    compile_cache: bool = True
    """Keep compiled programs on the disk, so that the next start is faster."""

    def check(self) -> None:
        """Finds what is wrong with the options by themselves.

        Raises:
            ValueError: naming the option, its value and what would do.
        """
        if not self.images:
            raise ValueError("`images` is empty; give image files, folders, or - for a list")
        if self.format not in FORMATS:
            raise ValueError(f"`format` (={self.format!r}) must be one of {', '.join(FORMATS)}")
        for name in ("top_k", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1")


class Prediction(NamedTuple):
    """Of one image.

    Attributes:
        image: the file.
        classes: names and probabilities (they sum to 1 over all classes), the likeliest first.
    """

    image: Path
    classes: list[tuple[str, float]]


def predict(
    run: Run, paths: Sequence[Path], *, top_k: int = 5, batch_size: int = 32
) -> Iterator[Prediction | ImageFileError]:
    """Classifies image files, in their order; compiled once.

    Args:
        run: of ``open_run``.
        paths: image files.
        top_k: classes of each.
        batch_size: images at a time.

    Yields:
        For each path the prediction, or what is wrong with the file.
    """
    side = run.transform.resize
    # The files are resized as they are read, by the same filter as on the device.
    center = replace(run.transform, source=(side, side)).center
    model = FlipAveraged(run.model) if run.config.get("flip_test") else run.model
    batch_size = min(batch_size, max(1, len(paths)))
    for start in range(0, len(paths), batch_size):
        batch = paths[start : start + batch_size]
        read = read_images(batch, channels=len(run.data.mean), side=side)
        images = [image for image in read if isinstance(image, np.ndarray)]
        results: Iterator[list[tuple[str, float]]] = iter(())
        if images:
            logits = predict_logits(
                model, run.variables, np.stack(images), center, batch_size=batch_size
            )
            results = iter([_top(row, run.data.class_names, top_k) for row in logits])
        for path, image in zip(batch, read, strict=True):
            if isinstance(image, ImageFileError):
                yield image
            else:
                yield Prediction(path, next(results))


def _top(logits: np.ndarray, names: Sequence[str], count: int) -> list[tuple[str, float]]:
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = exponentials / exponentials.sum()
    best = np.argsort(-probabilities, kind="stable")[:count]
    return [(names[index], float(probabilities[index])) for index in best]


def _find(images: Sequence[Path]) -> list[Path]:
    """The files that are meant, in order.

    Raises:
        ValueError: if there is none.
    """
    found: list[Path] = []
    for path in images:
        if path == STDIN:
            found += [Path(line) for line in sys.stdin.read().splitlines() if line.strip()]
        elif path.is_dir():
            files = find_images(path)
            if not files:
                raise ValueError(f"`images` (={path}) is a folder without an image file")
            found += files
        else:
            found.append(path)
    if not found:
        raise ValueError("`images` (=-) names no file on standard input")
    return found


def _print_lines(predictions: Iterator[Prediction]) -> None:
    for image, classes in predictions:
        values = [{"class": name, "probability": probability} for name, probability in classes]
        print(json.dumps({"image": str(image), "predictions": values}), flush=True)


def _print_table(predictions: Iterator[Prediction]) -> None:
    table = Table("image", "class", "probability")
    table.columns[2].justify = "right"
    for image, classes in predictions:
        names, shares = zip(*classes, strict=True)
        table.add_row(
            Text(str(image), overflow="fold"),
            Text("\n".join(names), overflow="fold"),
            "\n".join(f"{share:.2%}" for share in shares),
            end_section=True,
        )
    console = Console()
    if not console.is_terminal:
        # As wide as it needs to be: a file has no edge.
        console = Console(width=10_000)
    if table.row_count:
        console.print(table)


def work(options: Options) -> int:
    """Does what the options say; returns the exit code."""
    options.check()
    paths = _find(options.images)
    if options.compile_cache:
        keep_compiled()
    run = open_run(options.run, cast(Choice, options.checkpoint))
    failures = 0

    def readable() -> Iterator[Prediction]:
        nonlocal failures
        results = predict(run, paths, top_k=options.top_k, batch_size=options.batch_size)
        for result in results:
            if isinstance(result, ImageFileError):
                failures += 1
                print(f"error: {result}", file=sys.stderr)
            else:
                yield result

    (_print_lines if options.format == "jsonl" else _print_table)(readable())
    return 1 if failures else 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = tyro.cli(Options, args=argv, description=__doc__)
    return exit_code(lambda: work(options))


if __name__ == "__main__":
    raise SystemExit(main())
