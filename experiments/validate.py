"""Measure the top-1 and top-5 accuracy of a network on a folder of labelled images.

    python -m experiments.validate --weights timm/resnet50.a1_in1k --data-dir imagenet
    python -m experiments.validate --run runs/finetune --data-dir photos --part test

The folder holds photos/<class>/*.jpg, or has such folders in photos/val/, photos/validation/ or
photos/test/. Images are resized, cropped and normalised as the weights were tested (or as the run
validated), unless options such as --crop-pct say otherwise; every image counts once. A folder
stands for the class of its name: one of those in the config.json of the weights, or in the file of
--class-map, an ImageNet number such as n01440764 among them. Folders without such a name are taken
in sorted order if there are as many as classes. What was taken is printed before the images are
read. There may be fewer folders than classes; the network still chooses among all classes.

All files are checked by their beginnings before the network runs. Exit codes: 0 done, 1 done except
for images that could not be read (--skip-unreadable), 2 an error that you can mend.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from resnet_jax.data import (
    MAX_PIXELS,
    ImageFileError,
    LabelledImages,
    PartChoice,
    array_digest,
    check_images,
    find_labelled_images,
    read_images,
)
from resnet_jax.run import Reporter, ahead
from resnet_jax.storage import atomic_path, dumps, one_line, printable
from resnet_jax.training import Engine, EvalBatch

from . import cli
from .choices import check_choices
from .class_names import ClassMapping, map_folders
from .compile_cache import keep_compiled
from .image_limit import ImageLimit
from .network import Network, NetworkOptions, describe
from .outputs import check_new
from .streams import tell

TOP = 5


@dataclass(frozen=True)
class Options:
    """What to evaluate, and on what."""

    data_dir: Path
    """The image folder."""
    network: NetworkOptions = field(default_factory=NetworkOptions)
    part: PartChoice = "auto"
    """Part of a divided folder; auto is its validation images, or else its test images."""
    out: Path | None = None
    """JSON file for the result; None prints it only."""
    overwrite: bool = False
    """Replace the JSON file if it exists."""
    batch_size: int = 256
    """Images at a time, over all devices; changes speed and memory only."""
    num_devices: int | None = None
    """Devices to use; None takes all."""
    limit: ImageLimit = field(default_factory=ImageLimit)
    skip_unreadable: bool = False
    """Leave out images that cannot be read and name them, instead of ending with an error."""
    compile_cache: bool = True
    """Keep compiled programs on the disk, so that the next start is faster."""

    def check(self) -> None:
        """Find what is wrong with the options by themselves.

        Raises:
            ValueError: naming the option, its value and what would work.
        """
        check_choices(self)
        self.network.check()
        if self.batch_size < 1:
            raise ValueError(f"`batch_size` (={self.batch_size}) must be at least 1")
        self.limit.check()
        if self.out is not None:
            check_new((self.out,), overwrite=self.overwrite)

    def build_engine(self) -> Engine:
        """Choose the devices.

        Raises:
            ValueError: if there are not so many.
        """
        devices = jax.devices()
        count = len(devices) if self.num_devices is None else self.num_devices
        if not 1 <= count <= len(devices):
            raise ValueError(
                f"`num_devices` (={count}) must be from 1 to {len(devices)}, the devices here"
            )
        return Engine.create(devices=devices[:count])


class Outcome(NamedTuple):
    """What the network says of every image.

    Attributes:
        labels: int32 `[n]`, the true classes of the images that could be read.
        ranks: int32 `[n]`, classes that come before the true one; 0 is a hit.
        losses: float32 `[n]`, in nats.
        unreadable: what is wrong with the other files.
        seconds: time of reading and evaluating.
        images_per_second: speed after the first batch, which compiles; None if it is the only one.
    """

    labels: np.ndarray
    ranks: np.ndarray
    losses: np.ndarray
    unreadable: list[ImageFileError]
    seconds: float
    images_per_second: float | None


def validate(
    network: Network,
    paths: Sequence[str],
    labels: np.ndarray,
    *,
    engine: Engine,
    batch_size: int = 256,
    max_pixels: int = MAX_PIXELS,
    skip_unreadable: bool = False,
    reporter: Reporter | None = None,
) -> Outcome:
    """Evaluate a network on image files, a few batches of which are in memory at a time.

    Args:
        network: the network.
        paths: the n files, at least one.
        labels: int32 `[n]`, their classes.
        engine: the devices.
        batch_size: images at a time; rounded up to a multiple of the devices.
        max_pixels: most pixels that a file may have.
        skip_unreadable: leave out files that cannot be read.
        reporter: shows the progress; None prints to standard error.

    Raises:
        ImageFileError: for the first file that cannot be read, unless they are left out.
        ValueError: if logits are not finite.
    """
    from resnet_jax.evaluation import rank_labels
    from resnet_jax.models import fold_batch_norm

    size = min(batch_size, len(paths))
    size += -size % engine.num_devices
    side, channels, normalise = network.transform.crop, network.channels, network.normalise
    unreadable: list[ImageFileError] = []
    used: list[np.ndarray] = []

    def read(start: int) -> tuple[EvalBatch, list[ImageFileError]]:
        part = [Path(path) for path in paths[start : start + size]]
        images = np.zeros((size, side, side, channels), np.uint8)
        valid, errors = np.zeros(size, bool), []
        found = read_images(
            part,
            channels=channels,
            side=side,
            resize=network.transform.pixels,
            max_pixels=max_pixels,
        )
        for row, image in enumerate(found):
            if isinstance(image, ImageFileError):
                errors.append(image)
            else:
                images[row], valid[row] = image, True
        truth = np.zeros(size, np.int32)
        truth[: len(part)] = labels[start : start + size]
        return EvalBatch(images, truth, valid), errors

    def batches() -> Iterator[EvalBatch]:
        for batch, errors in ahead(read, range(0, len(paths), size)):
            if errors and not skip_unreadable:
                errors[0].add_note("--skip-unreadable leaves such files out")
                raise errors[0]
            unreadable.extend(errors)
            used.append(batch.labels[batch.valid])
            yield batch

    def prepare(images: Any, truth: Any, keys: Any) -> tuple[Any, Any]:
        return normalise(images), truth

    model, variables = fold_batch_norm(network.model, network.variables)
    reporter = Reporter(Console(stderr=True)) if reporter is None else reporter
    ranks, losses, first = [], [], 0.0
    steps = -(-len(paths) // size)
    start = time.perf_counter()
    with reporter.bar("Evaluating", steps, size) as bar:
        evaluated = rank_labels(model, variables, batches(), prepare, engine=engine)
        for part in evaluated:
            ranks.append(part.ranks)
            losses.append(part.losses)
            bar.advance()
            first = first or time.perf_counter()
    end = time.perf_counter()
    outcome = Outcome(
        np.concatenate(used),
        np.concatenate(ranks),
        np.concatenate(losses),
        unreadable,
        end - start,
        sum(map(len, ranks[1:])) / (end - first) if steps > 1 else None,
    )
    wrong = np.count_nonzero(~np.isfinite(outcome.losses))
    if wrong:
        raise ValueError(
            f"the loss of {wrong:,} of {len(outcome.losses):,} images is not finite; the weights "
            "are damaged, or `dtype` is too narrow: try --dtype float32"
        )
    return outcome


def summarise(
    outcome: Outcome, network: Network, mapping: ClassMapping, found: LabelledImages
) -> dict[str, Any]:
    """Return the result as JSON values; accuracies are fractions.

    Args:
        outcome: what `validate` returned; of at least one image.
        network: the network.
        mapping: which class each folder stands for.
        found: the folder.
    """
    classes = {}
    for folder, label in mapping.indices.items():
        ranks = outcome.ranks[outcome.labels == label]
        classes[folder] = {
            "class": network.class_names[label],
            "index": label,
            "images": len(ranks),
            "top1": _share(ranks, 1),
            "top5": _share(ranks, TOP),
        }
    return {
        "top1": _share(outcome.ranks, 1),
        "top5": _share(outcome.ranks, TOP),
        "loss": float(outcome.losses.mean(dtype=np.float64)),
        "images": len(outcome.ranks),
        "top1_images": int(np.count_nonzero(outcome.ranks < 1)),
        "top5_images": int(np.count_nonzero(outcome.ranks < TOP)),
        "unreadable": [one_line(error) for error in outcome.unreadable],
        "classes": len(network.class_names),
        "class_folders": len(mapping.indices),
        "mapped_by": mapping.how,
        "data_dir": printable(str(found.root)),
        "source": network.origin,
        "weights_digest": _digest(network),
        "transform": asdict(network.transform),
        "seconds": outcome.seconds,
        "images_per_second": outcome.images_per_second,
        "per_class": classes,
    }


def _share(ranks: np.ndarray, top: int) -> float | None:
    """Return the fraction of the images whose class is among the first; None of no images."""
    return int(np.count_nonzero(ranks < top)) / len(ranks) if len(ranks) else None


def _digest(network: Network) -> str:
    """Return the SHA-256 of the names and digests of all variables, sorted by name."""
    leaves = jax.tree_util.tree_leaves_with_path(network.variables)
    lines = sorted(
        f"{jax.tree_util.keystr(path, simple=True, separator='/')} {array_digest(np.asarray(leaf))}"
        for path, leaf in leaves
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def work(options: Options) -> int:
    """Do what the options say; return the exit code."""
    options.check()
    engine = options.build_engine()
    found = find_labelled_images(options.data_dir, options.part)
    if options.compile_cache:
        keep_compiled()
    network = options.network.build()
    for line in (network.origin, *network.notes, describe(network.transform)):
        tell(line)
    mapping = map_folders(list(found.files), network.names)
    tell(_describe_folder(found, network, mapping))
    if found.passed_over:
        tell(found.passed_over)
    paths = [path for files in found.files.values() for path in files]
    labels = np.repeat(
        np.array(list(mapping.indices.values()), np.int32), list(map(len, found.files.values()))
    )
    if not options.skip_unreadable:
        label = f"Checking {len(paths):,} images of {printable(str(found.root))}"
        check_images(paths, max_pixels=options.limit.max_pixels, label=label)
    outcome = validate(
        network,
        paths,
        labels,
        engine=engine,
        batch_size=options.batch_size,
        max_pixels=options.limit.max_pixels,
        skip_unreadable=options.skip_unreadable,
    )
    for error in outcome.unreadable:
        tell(f"error: {one_line(error)}")
    if not len(outcome.ranks):
        raise ValueError(f"none of {len(paths):,} images in `data_dir` (={found.root}) can be read")
    from resnet_jax.evaluation import environment

    result = summarise(outcome, network, mapping, found)
    result |= {"num_devices": engine.num_devices, "environment": environment()}
    speed = outcome.images_per_second or len(outcome.ranks) / outcome.seconds
    print(
        f"top-1 {result['top1']:.2%}, top-5 {result['top5']:.2%}, loss {result['loss']:.4f}: "
        f"{len(outcome.ranks):,} images in {outcome.seconds:.1f} s ({speed:,.0f} images/s)"
    )
    if options.out is not None:
        with atomic_path(options.out) as temporary:
            temporary.write_text(dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"result: {printable(str(options.out))}")
    return 1 if outcome.unreadable else 0


def _describe_folder(found: LabelledImages, network: Network, mapping: ClassMapping) -> str:
    """Return a line on the folder and its classes."""
    images = sum(map(len, found.files.values()))
    how = {
        "name": "by their names",
        "sorted order": "by sorted order alone: no folder has the name of a class",
    }
    return (
        f"{printable(str(found.root))} has {images:,} images in {len(found.files):,} class "
        f"folders, of the network's {len(network.class_names):,} classes; mapped "
        f"{how[mapping.how]}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return cli.exit_code(lambda: work(cli.parse(Options, argv, description=__doc__)))


if __name__ == "__main__":
    raise SystemExit(main())
