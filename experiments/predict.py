"""Classify image files with the network of a run, or with weights of elsewhere.

    python -m experiments.predict --run runs/cifar_resnet34 photo.jpg folder/of/images
    python -m experiments.predict --weights timm/resnet50.a1_in1k photo.jpg

Images may have any size, and be grey, RGB or transparent: each is resized, cropped in the middle
and normalised as the run's test images were, or as the weights were tested. A folder stands for
every image file in it, at any depth; - reads further paths from standard input, one a line, or with
--null as find -print0 writes them.

Standard error names the checkpoint, or the weights and their transform, what was passed over in
folders, and each image that cannot be read; the others go on. Exit codes: 0 done, 1 done except for
images that could not be read, 2 an error that you can mend, 141 nobody reads the output any more.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import tyro

from resnet_jax.data import MAX_PIXELS, ImageFileError, find_images, read_images
from resnet_jax.storage import one_line, printable

from . import cli
from .choices import check_choices
from .compile_cache import keep_compiled
from .image_limit import ImageLimit
from .network import Network, NetworkOptions, describe
from .progress import working
from .streams import tell

STDIN = Path("-")


@dataclass(frozen=True)
class Options:
    """What to classify, and with what."""

    images: tyro.conf.Positional[tuple[Path, ...]]
    """Image files, folders, or - for paths from standard input."""
    network: NetworkOptions = field(default_factory=NetworkOptions)
    top_k: int = 5
    """Classes to show for each image, the most probable first; no more than there are."""
    format: Literal["table", "jsonl"] = "table"
    """A table for people, or one JSON object per line."""
    batch_size: int = 32
    """Images at a time; changes speed and memory only."""
    limit: ImageLimit = field(default_factory=ImageLimit)
    null: bool = False
    """Paths on standard input end with a null character, so that any name can be given."""
    compile_cache: bool = True
    """Keep compiled programs on the disk, so that the next start is faster."""

    def check(self) -> None:
        """Find what is wrong with the options by themselves.

        Raises:
            ValueError: naming the option, its value and what would work.
        """
        check_choices(self)
        self.network.check()
        if not self.images:
            raise ValueError("`images` is empty; give image files, folders, or - for a list")
        for name in ("top_k", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        self.limit.check()


class Prediction(NamedTuple):
    """The prediction for one image.

    Attributes:
        image: the file.
        classes: names and probabilities (they sum to 1 over all classes), the likeliest first.
    """

    image: Path
    classes: list[tuple[str, float]]


def predict(
    network: Network,
    paths: Sequence[Path],
    *,
    top_k: int = 5,
    batch_size: int = 32,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Prediction | ImageFileError]:
    """Classify image files in their order, with one compilation.

    Args:
        network: the network.
        paths: image files.
        top_k: classes of each prediction.
        batch_size: images at a time.
        max_pixels: most pixels that a file may have.

    Yields:
        The prediction for each path, or what is wrong with the file.
    """
    from resnet_jax.evaluation import predict_logits
    from resnet_jax.models import fold_batch_norm
    from resnet_jax.run import ahead

    # Compiled for each new object, so that one must serve all batches.
    transform, normalise = network.transform, network.normalise
    model, variables = fold_batch_norm(network.model, network.variables)
    batch_size = min(batch_size, max(1, len(paths)))

    def read(start: int) -> tuple[Sequence[Path], list[np.ndarray | ImageFileError]]:
        batch = paths[start : start + batch_size]
        found = read_images(
            batch,
            channels=network.channels,
            side=transform.crop,
            resize=transform.pixels,
            max_pixels=max_pixels,
        )
        return batch, found

    for batch, found in ahead(read, range(0, len(paths), batch_size)):
        images = [image for image in found if isinstance(image, np.ndarray)]
        results: Iterator[list[tuple[str, float]]] = iter(())
        if images:
            logits = predict_logits(
                model,
                variables,
                np.stack(images),
                normalise,
                batch_size=batch_size,
            )
            results = iter([_top(row, network.class_names, top_k) for row in logits])
        for path, image in zip(batch, found, strict=True):
            if isinstance(image, ImageFileError):
                yield image
            else:
                yield Prediction(path, next(results))


def _top(logits: np.ndarray, names: Sequence[str], count: int) -> list[tuple[str, float]]:
    """Return names and probabilities of the likeliest classes."""
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = exponentials / exponentials.sum()
    best = np.argsort(-probabilities, kind="stable")[:count]
    return [(names[index], float(probabilities[index])) for index in best]


def _find(images: Sequence[Path], *, null: bool) -> list[Path]:
    """Return the files that the arguments stand for, in order, and print what was passed over.

    Raises:
        ValueError: if there are none.
    """
    found: list[Path] = []
    for path in images:
        if path == STDIN:
            found += _read_names(null=null)
        elif path.is_dir():
            files = find_images(path)
            if files.summary:
                tell(f"{path}: {files.summary}")
            if not files.paths:
                raise ValueError(f"`images` (={path}) is a folder without an image file")
            found += files.paths
        else:
            found.append(path)
    if not found:
        raise ValueError("`images` (=-) names no file on standard input")
    return found


def _read_names(*, null: bool) -> list[Path]:
    """Return the paths on standard input, whose bytes may be any that a file system allows."""
    if sys.stdin is None:
        return []
    data = sys.stdin.buffer.read()
    # Lines end where other programs end them, and nowhere else.
    names = data.split(b"\0") if null else [name.removesuffix(b"\r") for name in data.split(b"\n")]
    return [Path(os.fsdecode(name)) for name in names if name]


def _print_lines(predictions: Iterator[Prediction]) -> None:
    """Print one JSON object per prediction, as soon as it is made."""
    for image, classes in predictions:
        values = [{"class": name, "probability": probability} for name, probability in classes]
        print(json.dumps({"image": str(image), "predictions": values}), flush=True)


def _print_table(predictions: Iterator[Prediction]) -> None:
    """Print a table of all predictions, or of those up to an error or an interruption."""
    from rich.table import Table
    from rich.text import Text

    from .tables import output_console

    table = Table("image", "class", "probability")
    table.columns[2].justify = "right"
    try:
        for image, classes in predictions:
            names, shares = zip(*classes, strict=True)
            table.add_row(
                Text(printable(str(image)), overflow="fold"),
                Text("\n".join(map(printable, names)), overflow="fold"),
                "\n".join(f"{share:.2%}" for share in shares),
                end_section=True,
            )
    finally:
        if table.row_count:
            output_console().print(table)


def work(options: Options) -> int:
    """Do what the options say; return the exit code."""
    options.check()
    paths = _find(options.images, null=options.null)
    if options.compile_cache:
        keep_compiled()
    network = options.network.build()
    tell(network.origin)
    if options.network.run is None:
        for line in (*network.notes, describe(network.transform)):
            tell(line)
    if not network.names.known:
        tell("the classes have no names and are shown by number; --class-map names them")
    failures = 0

    def readable() -> Iterator[Prediction]:
        nonlocal failures
        results = predict(
            network,
            paths,
            top_k=options.top_k,
            batch_size=options.batch_size,
            max_pixels=options.limit.max_pixels,
        )
        with working("Classifying", len(paths)) as advance:
            for result in results:
                advance()
                if isinstance(result, ImageFileError):
                    failures += 1
                    tell(f"error: {one_line(result)}")
                else:
                    yield result

    (_print_lines if options.format == "jsonl" else _print_table)(readable())
    return 1 if failures else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return cli.exit_code(lambda: work(cli.parse(Options, argv, description=__doc__)))


if __name__ == "__main__":
    raise SystemExit(main())
