"""Train the small networks for CIFAR, and write each as a folder with its weights and a card.

    python -m experiments.zoo --out zoo
    python -m experiments.zoo --out zoo --dataset folder --data-dir photos --data-name "my photos"

Each folder holds `model.safetensors`, `config.json` and a card that says the command, the seed, the
digest of the log and the accuracies; `resnet_jax.load_pretrained("zoo/resnet20")` reads it. A
network that has been trained is not trained again, and a training that was stopped is resumed, so
that the command can be given again.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from resnet_jax.run import RunFolder

from . import cifar_resnet18_modern, cifar_resnet20, cli
from .choices import check_choices
from .export import Options as ExportOptions
from .export import export_folder
from .flat import arguments, override
from .load_run import open_run
from .recipe import Recipe
from .train import train as train_recipe

NETWORKS: Mapping[str, tuple[str, Recipe]] = MappingProxyType(
    {
        "resnet20": ("cifar_resnet20", cifar_resnet20.CONFIG),
        "resnet56": ("cifar_resnet20", override(cifar_resnet20.CONFIG, variant="resnet56")),
        # A narrow network learns more in few epochs from a higher rate and without Cutout, and is
        # too small to gain from bfloat16.
        "resnet18_narrow": (
            "cifar_resnet18_modern",
            override(
                cifar_resnet18_modern.CONFIG,
                base_planes=16,
                epochs=24,
                lr=0.2,
                schedule="onecycle",
                warmup_epochs=6.0,
                augment=("crop:4", "flip"),
                ema_decay=0.998,
                dtype="float32",
            ),
        ),
    }
)
"""The recipe's module and the options by the name of the network."""

_DEFAULTS = {
    "cifar_resnet20": cifar_resnet20.CONFIG,
    "cifar_resnet18_modern": cifar_resnet18_modern.CONFIG,
}

if TYPE_CHECKING:
    NetworkName = str
else:
    NetworkName = Literal[tuple(NETWORKS)]


@dataclass(frozen=True)
class Zoo:
    """What to train, and where it goes."""

    out: Path
    """Folder for a folder per network."""
    networks: tuple[NetworkName, ...] = tuple(NETWORKS)
    """Networks to train and write."""
    dataset: Literal["cifar10", "cifar100", "folder"] = "cifar10"
    """The images; folder is your own in data_dir."""
    archive: Path | None = None
    """Local copy of the data set."""
    data_dir: Path | None = None
    """Folder for prepared data sets, None for your cache directory; or the images of folder."""
    data_name: str | None = None
    """What the cards call the images; None is the data set's name."""
    epochs: int | None = None
    """Epochs of each network; None is the recipe's number."""
    seed: int = 123
    """Seed of each training."""
    run_dir: Path = Path("runs/zoo")
    """Folder for a run folder per network."""
    overwrite: bool = False
    """Replace folders of networks that were written before."""

    def job(self, name: str) -> Recipe:
        """Return the options of one network's training, except for its folder.

        Args:
            name: of the network, one of `NETWORKS`.
        """
        _, recipe = NETWORKS[name]
        epochs = recipe.training.epochs if self.epochs is None else self.epochs
        # The warm-up keeps its share of the training.
        warmup = recipe.schedule.warmup_epochs * epochs / recipe.training.epochs
        return override(
            recipe,
            dataset=self.dataset,
            archive=self.archive,
            data_dir=self.data_dir,
            seed=self.seed,
            epochs=epochs,
            warmup_epochs=warmup,
        )

    def command(self, name: str) -> str:
        """Return the command line that trains one network.

        Args:
            name: of the network, one of `NETWORKS`.
        """
        module, _ = NETWORKS[name]
        words = arguments(self.job(name), _DEFAULTS[module])
        return shlex.join(["python", "-m", f"experiments.{module}", *words])


def make(zoo: Zoo, *, train: Callable[[Recipe], object] = train_recipe) -> None:
    """Train what is missing, and write the folders.

    Args:
        zoo: what to train, and where it goes.
        train: trains a recipe and writes its run folder.

    Raises:
        ValueError: for an unknown network, before anything is trained; or as `train`.
        FileExistsError: if a folder holds files and may not be written into.
        RunError: if a run folder holds another run.
    """
    check_choices(zoo)
    if not zoo.networks:
        raise ValueError(f"`networks` is empty; name some of {', '.join(NETWORKS)}")
    exports = {
        name: ExportOptions(
            run=zoo.run_dir / name,
            format="pretrained",
            out=zoo.out / name,
            overwrite=zoo.overwrite,
            data_name=zoo.data_name,
        )
        for name in zoo.networks
    }
    for name, options in exports.items():
        zoo.job(name).check()
        options.check()
    for name, options in exports.items():
        folder = RunFolder(options.run)
        # A finished run is resumed, too: that trains nothing, but finds whether it is this one.
        train(override(zoo.job(name), run_dir=options.run, resume=folder.has_run))
        run = open_run(options.run)
        export_folder(run, options, command=zoo.command(name))
        print(f"{options.path}: {run.origin}")


def main(
    argv: Sequence[str] | None = None, *, train: Callable[[Recipe], object] = train_recipe
) -> int:
    """Run the command; return its exit code."""

    def work() -> int:
        zoo = cli.parse(Zoo, argv, description=__doc__)
        with cli.advise_when_stopped("go on with the same command"):
            make(zoo, train=train)
        return 0

    return cli.exit_code(work)


if __name__ == "__main__":
    raise SystemExit(main())
