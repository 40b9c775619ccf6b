"""Writes the network of a run to one file that runs or is read without this package.

    python -m experiments.export --run runs/cifar_resnet34 --format stablehlo
    python -m experiments.export --run runs/cifar_resnet34 --format safetensors

stablehlo is the network in evaluation mode as a program, with its weights, for batches of any
size on CPU, CUDA and TPU. It takes the images as they are, uint8 [batch, height, width, channels],
and resizes, crops and normalises them itself (or --input float32: the normalised crop). With jax
and flatbuffers installed, and nothing else:

    network = jax.export.deserialize(open("model.stablehlo", "rb").read())
    logits = network.call(images)

safetensors holds the weights under torchvision's names, for torch, torchvision and timm.

Beside the file a .json says what it takes and gives: shapes, class names, normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import tyro

from resnet_jax.data import Transform
from resnet_jax.evaluation.export import OUTPUTS, PLATFORMS, to_stablehlo
from resnet_jax.models import save_weights
from resnet_jax.storage import atomic_path, write_json

from .config import choice
from .runs import CHOICES, Choice, Run, exit_code, open_run

FORMATS = ("stablehlo", "safetensors")
INPUTS = ("uint8", "float32")
NETWORK = ("variant", "stem", "base_planes", "dtype")
"""Of the options of a run, those that make its network."""


@dataclass(frozen=True)
class Options:
    """What to write, and of what."""

    run: Path
    """The run folder."""
    format: Annotated[str, choice(*FORMATS)]
    """A program with its weights, or the weights alone."""
    out: Path | None = None
    """The file; None is model.stablehlo or model.safetensors in the run folder."""
    overwrite: bool = False
    """Replace the file where it exists."""
    checkpoint: Annotated[str, choice(*CHOICES)] = "best"
    """That of the best epoch by validation accuracy, or the last one."""
    input: Annotated[str, choice(*INPUTS)] = "uint8"
    """Of stablehlo: images as they are, or resized, cropped and normalised ones."""
    image_size: tuple[int, int] | None = None
    """Of stablehlo: height and width of uint8 images, in pixels; None is that of the run's own."""
    output: Annotated[str, choice(*OUTPUTS)] = "logits"
    """Of stablehlo."""

    def check(self) -> None:
        """Finds what is wrong with the options by themselves.

        Raises:
            ValueError: naming the option, its value and what would do.
        """
        for name, allowed in (("format", FORMATS), ("input", INPUTS), ("output", OUTPUTS)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"`{name}` (={getattr(self, name)!r}) must be one of {', '.join(allowed)}"
                )
        for name in ("input", "image_size", "output"):
            if self.format != "stablehlo" and getattr(self, name) != getattr(Options, name):
                raise ValueError(
                    f"`{name}` (={getattr(self, name)!r}) is of no use to `format` "
                    f"(={self.format!r}); leave it out"
                )
        if self.input == "float32" and self.image_size is not None:
            raise ValueError(
                f"`image_size` (={self.image_size}) is of no use to `input` (='float32'), whose "
                "images have the size of the run's crop; leave it out"
            )
        if self.out is not None and self.out.suffix != f".{self.format}":
            raise ValueError(f"`out` (={self.out}) must end in .{self.format}")

    @property
    def path(self) -> Path:
        """The file to write."""
        return self.run / f"model.{self.format}" if self.out is None else self.out


def export(run: Run, options: Options) -> dict[str, Any]:
    """Writes the file and its description.

    Args:
        run: of ``open_run``.
        options: checked already.

    Returns:
        The description, JSON values.

    Raises:
        FileExistsError: if the file exists and is not to be replaced.
    """
    path = options.path
    if path.exists() and not options.overwrite:
        raise FileExistsError(f"`out` (={path}) exists; --overwrite replaces it")
    description: dict[str, Any] = {
        "file": path.name,
        "format": options.format,
        "network": {name: run.config.get(name) for name in NETWORK},
        "class_names": run.data.class_names,
        "step": run.step,
        "resize": run.transform.resize,
        "crop": run.transform.crop,
        "mean": run.data.mean,
        "std": run.data.std,
    }
    if options.format == "safetensors":
        save_weights(path, run.model, run.variables, num_batches_tracked=run.step, overwrite=True)
    else:
        transform = _transform(run, options)
        size = (run.transform.crop,) * 2 if transform is None else transform.source
        shape = (*size, len(run.data.mean))
        data = to_stablehlo(
            run.model,
            run.variables,
            transform=transform,
            image_shape=shape,
            output=cast(Literal["logits", "probabilities"], options.output),
        )
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        description |= {
            "platforms": PLATFORMS,
            "input": f"{options.input}[batch, {', '.join(map(str, shape))}]",
            "output": f"float32[batch, {len(run.data.class_names)}] {options.output}",
        }
    write_json(path.with_suffix(".json"), description)
    return description


def _transform(run: Run, options: Options) -> Transform | None:
    if options.input == "float32":
        return None
    if options.image_size is None:
        return run.transform
    return replace(run.transform, source=options.image_size)


def work(options: Options) -> int:
    """Does what the options say; returns the exit code."""
    options.check()
    run = open_run(options.run, cast(Choice, options.checkpoint))
    description = export(run, options)
    megabytes = options.path.stat().st_size / 1e6
    print(f"{options.path}: {megabytes:.1f} MB, step {run.step}")
    for name in ("input", "output"):
        if name in description:
            print(f"{name}: {description[name]}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = tyro.cli(Options, args=argv, description=__doc__)
    return exit_code(lambda: work(options))


if __name__ == "__main__":
    raise SystemExit(main())
