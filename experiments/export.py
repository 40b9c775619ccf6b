"""Write the network of a run to a file or folder that runs or is read without this package.

    python -m experiments.export --run runs/cifar_resnet34 --format stablehlo
    python -m experiments.export --run runs/cifar_resnet34 --format onnx
    python -m experiments.export --run runs/cifar_resnet34 --format safetensors
    python -m experiments.export --run runs/cifar_resnet34 --format pretrained
    python -m experiments.export --run runs/cifar_resnet34 --format timm

stablehlo is the network in evaluation mode as a program, with its weights, for batches of any
size on CPU, CUDA and TPU. It takes the images as they are, uint8 [batch, height, width, channels],
and resizes, crops and normalises them itself (or --input float32: the normalised crop). It needs
jax and flatbuffers, and nothing else (pip install 'flax-resnet[stablehlo]' to write it):

    network = jax.export.deserialize(open("model.stablehlo", "rb").read())
    logits = network.call(images)

onnx is the same for ONNX Runtime and others that read ONNX (pip install 'flax-resnet[onnx]' to
write it). With --input float32 it takes [batch, channels, height, width], as is usual there.
--fold-batch-norm puts the normalisations into the convolutions:

    network = onnxruntime.InferenceSession("model.onnx")
    (logits,) = network.run(None, {"images": images})

safetensors holds the weights under torchvision's names, for torch, torchvision and timm.

pretrained is a folder with the weights, a config.json and a model card, for
resnet_jax.load_pretrained("FOLDER"). timm is the same, and is refused for a network that timm does
not have; timm.create_model("local-dir:FOLDER", pretrained=True) reads it.

Beside a file another one, such as model.stablehlo.json, says what it takes and gives: shapes,
class names, normalisation. None replaces a file without --overwrite.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from resnet_jax.data import Transform
from resnet_jax.run import CheckpointChoice, RunFolder
from resnet_jax.storage import JsonError, atomic_path, dumps, install_command, read_json

from . import cli
from .choices import check_choices
from .load_run import Run, open_run
from .outputs import check_new
from .progress import working
from .run_log import read_report

PLATFORMS = ("cpu", "cuda", "tpu")
"""What an exported program runs on."""
DESCRIBED = ("variant", "stem", "base_planes", "dtype")
"""Options of a run that its description names, because they make the network."""
FOLDERS = ("pretrained", "timm")
"""Formats that are folders."""
USED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "stablehlo": ("input", "image_size", "output"),
        "onnx": ("input", "image_size", "output", "fold_batch_norm"),
        "safetensors": (),
        **dict.fromkeys(FOLDERS, ("data_name",)),
    }
)
"""Options that only some formats use, by format."""
PACKAGES: Mapping[str, str] = MappingProxyType({"stablehlo": "flatbuffers", "onnx": "onnx"})
"""Package that writes a format; the extra with the format's name installs it."""
FOLDER_FILES = ("model.safetensors", "config.json", "README.md")
"""Files of a folder."""


@dataclass(frozen=True)
class Options:
    """What to write, and of which run."""

    run: Path
    """The run folder."""
    format: Literal["stablehlo", "onnx", "safetensors", "pretrained", "timm"]
    """A program with its weights, the weights alone, or a folder for load_pretrained and timm."""
    out: Path | None = None
    """The file or folder; None is model.FORMAT, pretrained or timm in the run folder."""
    overwrite: bool = False
    """Replace the files that exist."""
    checkpoint: CheckpointChoice = "best"
    """Checkpoint of the best epoch by validation accuracy, or the last one."""
    input: Literal["uint8", "float32"] = "uint8"
    """What a program takes: images as they are, or resized, cropped and normalised ones."""
    image_size: tuple[int, int] | None = None
    """Height and width of uint8 images for a program, in pixels; None is the run's own size."""
    output: Literal["logits", "probabilities"] = "logits"
    """What a program returns."""
    fold_batch_norm: bool = False
    """Fold the batch normalisations of onnx into the convolutions before them."""
    data_name: str | None = None
    """What the card of a folder calls the images of the training; None is the data set's name."""

    def check(self) -> None:
        """Find what is wrong with the options by themselves.

        Raises:
            ValueError: naming the option, its value and what would work.
        """
        check_choices(self)
        for name in dict.fromkeys(name for names in USED.values() for name in names):
            unused = name not in USED[self.format]
            if unused and getattr(self, name) != getattr(Options, name):
                raise ValueError(
                    f"`{name}` (={getattr(self, name)!r}) is of no use to `format` "
                    f"(={self.format!r}); leave it out"
                )
        if self.input == "float32" and self.image_size is not None:
            raise ValueError(
                f"`image_size` (={self.image_size}) is of no use to `input` (='float32'), whose "
                "images have the size of the run's crop; leave it out"
            )
        if self.format in FOLDERS:
            again = self.overwrite and _is_network(self.path)
            names = [name for name in FOLDER_FILES if not (again and name == "config.json")]
            check_new((self.path / name for name in names), overwrite=self.overwrite)
            return
        if self.out is not None and self.out.suffix != f".{self.format}":
            raise ValueError(f"`out` (={self.out}) must end in .{self.format}")
        check_new((self.path, self.description_path), overwrite=self.overwrite)
        _check_installed(self.format)

    @property
    def path(self) -> Path:
        """The file or folder to write."""
        if self.out is not None:
            return self.out
        return self.run / (self.format if self.format in FOLDERS else f"model.{self.format}")

    @property
    def description_path(self) -> Path:
        """The file that says what it takes and gives; each format has its own."""
        return self.path.with_name(f"{self.path.name}.json")


def _is_network(folder: Path) -> bool:
    """Return whether a folder has the `config.json` of a network; that of a run is another."""
    try:
        return "architecture" in read_json(folder / "config.json")
    except (OSError, JsonError):
        return False


def _check_installed(name: str) -> None:
    """Raise a `ValueError` if the package that writes a format is not installed."""
    package = PACKAGES.get(name)
    try:
        if package is not None:
            importlib.import_module(package)
    except ImportError as error:
        raise ValueError(
            f"`format` (={name!r}) needs the package {package}: {install_command(name)}"
        ) from error


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
        "crop_mode": run.image_transform.crop_mode,
        "interpolation": run.image_transform.interpolation,
        "mean": run.data.mean,
        "std": run.data.std,
    }
    if options.format == "safetensors":
        from resnet_jax.models import save_weights

        def write(path: Path) -> None:
            save_weights(
                path, run.model, run.variables, num_batches_tracked=run.step, overwrite=True
            )

        return _write(options, description, write)
    transform = _transform(run, options)
    size = (run.transform.crop,) * 2 if transform is None else transform.source
    shape = (*size, len(run.data.mean))
    axes = shape
    program: dict[str, Any] = {
        "transform": transform,
        "image_shape": shape,
        "output": options.output,
    }
    if options.format == "stablehlo":
        from resnet_jax.evaluation import to_stablehlo

        data = to_stablehlo(run.model, run.variables, platforms=PLATFORMS, **program)
        description["platforms"] = PLATFORMS
    else:
        from resnet_jax.evaluation import to_onnx

        if transform is None:
            axes = (shape[2], *size)
        description["fold_batch_norm"] = options.fold_batch_norm
        data = to_onnx(
            run.model,
            run.variables,
            fold_batch_norm=options.fold_batch_norm,
            metadata={name: dumps(value) for name, value in description.items()},
            **program,
        )
    description |= {
        "input": f"{options.input}[batch, {', '.join(map(str, axes))}]",
        "output": f"float32[batch, {len(run.data.class_names)}] {options.output}",
    }

    def write_bytes(path: Path) -> None:
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)

    return _write(options, description, write_bytes)


def _write(
    options: Options, description: dict[str, Any], write: Callable[[Path], object]
) -> dict[str, Any]:
    """Write the description and, by `write`, the file, as a whole; return the description."""
    with atomic_path(options.description_path) as described:
        described.write_text(dumps(description, indent=2) + "\n", encoding="utf-8")
        write(options.path)
    return description


def export_folder(run: Run, options: Options, *, command: str = "") -> None:
    """Write a folder: weights, configuration and model card, all or nothing.

    Args:
        run: a run of `open_run`.
        options: what to write; checked already.
        command: the command line of the training, for the card; empty where it is not known.

    Raises:
        ValueError: if the network cannot be described, or is to be timm's and is not.
        OSError: if the folder cannot be written.
    """
    from resnet_jax.pretrained import ModelCard, is_in_timm, save_pretrained

    if options.format == "timm" and not is_in_timm(run.model):
        raise ValueError(
            f"`format` (='timm'): timm does not have the network of {run.folder}; take pretrained"
        )
    dataset = options.data_name or str(run.config["dataset"])
    accuracy = _test_accuracy(run)
    mirrored = ", averaged with their mirror images" if run.config.get("flip_test") else ""
    training = {name: str(run.config[name]) for name in ("epochs", "seed") if name in run.config}
    log = RunFolder(run.folder).log_path
    if log.is_file():
        training["SHA-256 of its log"] = hashlib.sha256(log.read_bytes()).hexdigest()
    save_pretrained(
        options.path,
        run.model,
        run.variables,
        transform=run.image_transform,
        class_names=run.data.class_names,
        card=ModelCard(
            description=f"Trained on {dataset} with resnet_jax: the {run.checkpoint} checkpoint, "
            f"step {run.step}{'' if run.epoch is None else f', after epoch {run.epoch}'}.",
            datasets=[dataset],
            metrics={} if accuracy is None else {"top-1 accuracy": accuracy},
            measured="It was not measured on a test set."
            if accuracy is None
            else f"Measured by resnet_jax on all test images of {dataset}, with this transform"
            f"{mirrored}.",
            training=training,
            command=command,
        ),
        overwrite=True,
    )


def _test_accuracy(run: Run) -> float | None:
    """Return the test accuracy of the checkpoint by the run's report, as a fraction, if it says."""
    report = read_report(RunFolder(run.folder))
    best = report.get("best_checkpoint") or {}
    if best.get("step") == run.step:
        return best.get("test_accuracy")
    # The other one is that of the last epoch.
    finished = len(report.get("valid_accuracy") or ()) == run.epoch
    return report.get("test_accuracy") if finished else None


def _transform(run: Run, options: Options) -> Transform | None:
    """Return the transform inside the program; None if it takes normalised crops."""
    if options.input == "float32":
        return None
    if options.image_size is None:
        return run.transform
    return run.image_transform.on_device(*options.image_size)


def work(options: Options) -> int:
    """Do what the options say; return the exit code."""
    options.check()
    run = open_run(options.run, options.checkpoint)
    title = f"Writing {options.path}"
    if options.format in FOLDERS:
        with working(title):
            export_folder(run, options)
        print(f"{options.path}: {run.origin}")
        return 0
    with working(title):
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
