"""Write the network of a run to one file that runs or is read without this package.

    python -m experiments.export --run runs/cifar_resnet34 --format stablehlo
    python -m experiments.export --run runs/cifar_resnet34 --format safetensors

stablehlo is the network in evaluation mode as a program, with its weights, for batches of any
size on CPU, CUDA and TPU. It takes the images as they are, uint8 [batch, height, width, channels],
and resizes, crops and normalises them itself (or --input float32: the normalised crop). It needs
jax and flatbuffers, and nothing else:

    network = jax.export.deserialize(open("model.stablehlo", "rb").read())
    logits = network.call(images)

safetensors holds the weights under torchvision's names, for torch, torchvision and timm.

Beside the file another one, such as model.stablehlo.json, says what it takes and gives: shapes,
class names, normalisation. Neither replaces a file without --overwrite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from resnet_jax.data import Transform
from resnet_jax.run import CheckpointChoice
from resnet_jax.storage import atomic_path, dumps

from . import cli
from .choices import check_choices
from .load_run import Run, open_run
from .outputs import check_new

PLATFORMS = ("cpu", "cuda", "tpu")
"""What an exported program runs on."""
DESCRIBED = ("variant", "stem", "base_planes", "dtype")
"""Options of a run that its description names, because they make the network."""


@dataclass(frozen=True)
class Options:
    """What to write, and of which run."""

    run: Path
    """The run folder."""
    format: Literal["stablehlo", "safetensors"]
    """A program with its weights, or the weights alone."""
    out: Path | None = None
    """The file; None is model.stablehlo or model.safetensors in the run folder."""
    overwrite: bool = False
    """Replace the file and its description if they exist."""
    checkpoint: CheckpointChoice = "best"
    """Checkpoint of the best epoch by validation accuracy, or the last one."""
    input: Literal["uint8", "float32"] = "uint8"
    """What stablehlo takes: images as they are, or resized, cropped and normalised ones."""
    image_size: tuple[int, int] | None = None
    """Height and width of uint8 images for stablehlo, in pixels; None is the run's own size."""
    output: Literal["logits", "probabilities"] = "logits"
    """What stablehlo returns."""

    def check(self) -> None:
        """Find what is wrong with the options by themselves.

        Raises:
            ValueError: naming the option, its value and what would work.
        """
        check_choices(self)
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
        check_new((self.path, self.description_path), overwrite=self.overwrite)

    @property
    def path(self) -> Path:
        """The file to write."""
        return self.run / f"model.{self.format}" if self.out is None else self.out

    @property
    def description_path(self) -> Path:
        """The file that says what it takes and gives; each format has its own."""
        return self.path.with_name(f"{self.path.name}.json")


def export(run: Run, options: Options) -> dict[str, Any]:
    """Write the file and its description, both or neither; what is there is replaced.

    Args:
        run: a run of `open_run`.
        options: what to write; checked already.

    Returns:
        The description, JSON values.

    Raises:
        OSError: if they cannot be written.
    """
    path = options.path
    description: dict[str, Any] = {
        "file": path.name,
        "format": options.format,
        "network": {name: run.config.get(name) for name in DESCRIBED},
        "class_names": run.data.class_names,
        "checkpoint": run.checkpoint,
        "step": run.step,
        "epoch": run.epoch,
        "resize": run.transform.resize,
        "crop": run.transform.crop,
        "mean": run.data.mean,
        "std": run.data.std,
    }
    if options.format == "stablehlo":
        from resnet_jax.evaluation import to_stablehlo

        transform = _transform(run, options)
        size = (run.transform.crop,) * 2 if transform is None else transform.source
        shape = (*size, len(run.data.mean))
        data = to_stablehlo(
            run.model,
            run.variables,
            transform=transform,
            image_shape=shape,
            output=options.output,
            platforms=PLATFORMS,
        )
        description |= {
            "platforms": PLATFORMS,
            "input": f"{options.input}[batch, {', '.join(map(str, shape))}]",
            "output": f"float32[batch, {len(run.data.class_names)}] {options.output}",
        }
    with atomic_path(options.description_path) as described:
        described.write_text(dumps(description, indent=2) + "\n", encoding="utf-8")
        if options.format == "stablehlo":
            with atomic_path(path) as temporary:
                temporary.write_bytes(data)
        else:
            from resnet_jax.models import save_weights

            save_weights(
                path, run.model, run.variables, num_batches_tracked=run.step, overwrite=True
            )
    return description


def _transform(run: Run, options: Options) -> Transform | None:
    """Return the transform inside the program; None if it takes normalised crops."""
    if options.input == "float32":
        return None
    if options.image_size is None:
        return run.transform
    return replace(run.transform, source=options.image_size)


def work(options: Options) -> int:
    """Do what the options say; return the exit code."""
    options.check()
    run = open_run(options.run, options.checkpoint)
    description = export(run, options)
    megabytes = options.path.stat().st_size / 1e6
    print(f"{options.path}: {megabytes:.1f} MB, {run.origin}")
    print(f"description: {options.description_path}")
    for name in ("input", "output"):
        if name in description:
            print(f"{name}: {description[name]}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return cli.exit_code(lambda: work(cli.parse(Options, argv, description=__doc__)))


if __name__ == "__main__":
    raise SystemExit(main())
