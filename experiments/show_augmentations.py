"""Draw the augmentations: one row each, all of them on the same real images.

    python -m experiments.show_augmentations --dataset digits

Augmentations that mix examples mix neighbours: the first with the second, the third with the
fourth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.data import Pipeline, Transform, load_dataset, make_augmentation
from resnet_jax.evaluation import plot_image_rows, save_figure

from .choices import check_choices
from .cli import exit_code, parse
from .options import DatasetName
from .outputs import check_new

IMAGES = 10
SIDE = 32


@dataclass(frozen=True)
class Options:
    """What to draw."""

    dataset: DatasetName = "digits"
    """Whose images to draw; digits is embedded and needs no download."""
    archive: Path | None = None
    """Local copy of the data set; see the recipes."""
    data_dir: Path | None = None
    """Folder for prepared data sets; by default in your cache folder."""
    augment: tuple[str, ...] = (
        "rrc",
        "crop:4",
        "flip",
        "jitter",
        "randaugment:2:9",
        "trivialaugment",
        "cutout:12",
        "erase:1",
        "erase:1:pixel",
        "mixup:1",
        "cutmix:1",
        "mixup:1/cutmix:1",
    )
    """The augmentations, one row each, written as for the recipes."""
    seed: int = 0
    """Seed of the random draws."""
    out: Path = Path("runs/augmentations.png")
    """File of the figure; it is written as PNG and as PDF beside it."""
    overwrite: bool = False
    """Replace these files if they exist."""


def show(options: Options) -> tuple[Path, Path]:
    """Draw the figure.

    Args:
        options: what to draw.

    Returns:
        The paths of the PNG and the PDF.

    Raises:
        ValueError: if an option is out of range, or the data set cannot be loaded (`DatasetError`).
        FileExistsError: if a file exists and must not be replaced.
    """
    check_choices(options)
    if options.out.suffix not in (".png", ".pdf"):
        raise ValueError(f"`out` (={options.out}) must end in .png or .pdf")
    if not 0 <= options.seed < 2**32:
        raise ValueError(f"`seed` (={options.seed}) must be in [0, 2**32)")
    files = [options.out.with_suffix(suffix) for suffix in (".png", ".pdf")]
    check_new(files, overwrite=options.overwrite)
    augmentations = [make_augmentation(spec) for spec in options.augment]
    dataset = load_dataset(options.dataset, archive=options.archive, data_dir=options.data_dir)
    images, labels = dataset.train.images[:IMAGES], dataset.train.labels[:IMAGES]
    transform = Transform(
        source=(images.shape[1], images.shape[2]),
        resize=SIDE,
        crop=SIDE,
        mean=dataset.mean,
        std=dataset.std,
    )
    keys = jax.random.split(jax.random.key(options.seed), IMAGES)
    rows = {"original": transform.center(jnp.asarray(images))}
    for spec, augmentation in zip(options.augment, augmentations, strict=True):
        pipeline = Pipeline(transform, (augmentation,), len(dataset.class_names))
        rows[spec] = jax.jit(pipeline)(images, labels, keys)[0]
    figure = plot_image_rows(
        {name: np.asarray(transform.denormalise(row)) for name, row in rows.items()}
    )
    return save_figure(figure, options.out.with_suffix(""))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, see `exit_code`."""

    def work() -> int:
        png, pdf = show(parse(Options, argv, description=__doc__))
        print(f"Figure: {png}, {pdf}")
        return 0

    return exit_code(work)


if __name__ == "__main__":
    raise SystemExit(main())
