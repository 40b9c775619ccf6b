"""Time that a standard ResNet-18 needs to reach an accuracy on the test images, on one device.

    python -m experiments.benchmarks.time_to_accuracy --target 94
    python -m experiments.benchmarks.time_to_accuracy --target 96 --progressive 24 --out 96.json
    python -m experiments.benchmarks.time_to_accuracy --dataset folder --data-dir cifar10_images

The images stay on the device as bytes. An epoch is one program, which shuffles, augments and makes
all steps; one program is compiled for each image size of the training, and one for the evaluation,
before the clock starts. A rehearsal runs each once on a copy of the state, also before it. The
device computes in bfloat16, unless it is a CPU. All images that are not test images are trained on:
a tenth is not set aside, and validation images of a folder are added.

The clock is that of airbench: training counts; the evaluation after each epoch does not; the last
evaluation, which finds the target reached, does. All times are given, so that others can be
calculated. FLOP/s are those of the convolutions and of the last layer, counted from their shapes,
three times the forward pass; their share is of the chip's peak for dense bfloat16 matrices.

The marks are those of an A100: a standard ResNet-18 reaches 96.0 % of CIFAR-10's test images in 7
minutes (https://github.com/KellerJordan/cifar10-airbench, README), and takes about 3 seconds an
epoch in torch. No accelerator was available here: whether the defaults reach 94, 95 or 96 % in
their 16, 30 and 64 epochs is not measured, and neither is their time.

On the embedded digits, with a narrow network on a CPU:

    python -m experiments.benchmarks.time_to_accuracy --dataset digits --base-planes 16 \
        --batch-size 64 --lr 0.1 --augment crop:2 --no-flip-test

Exit codes: 0 the target is reached, 1 it is not within the epochs, 2 an error that you can mend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from resnet_jax.data import Arrays, Dataset, ImageStream
from resnet_jax.storage import printable, write_json

from .. import cli
from ..choices import check_choices
from ..flat import flatten
from ..options import FOLDER, DataOptions, ImageOptions, ModelOptions
from ..outputs import check_new
from ..photo_options import PhotoOptions
from ..recipe import Recipe
from ..run_options import EvaluationOptions
from ..training_options import OptimizerOptions, ScheduleOptions, TrainingOptions
from .flops import peak_flops
from .harness import describe_machine, machine
from .timed_training import TimedEpoch, TimedTraining

EPOCHS = {94.0: 16, 95.0: 30, 96.0: 64}
"""Epochs of the training by the highest target that they are for, in percent."""


@dataclass(frozen=True)
class TimedTrainingOptions(TrainingOptions):
    """The training."""

    epochs: int = 0
    """Passes over the training images; 0 is 16, 30 or 64 for targets up to 94, 95 or above."""
    batch_size: int = 512
    """Images per step."""
    label_smoothing: float = 0.1
    """Part of each training label that is spread over all classes."""
    ema_decay: float = 0.995
    """Decay of the moving averages of parameters and statistics that are evaluated; 0: none."""


@dataclass(frozen=True)
class TimedScheduleOptions:
    """The learning rate over the training."""

    schedule: Literal["onecycle", "cosine"] = "onecycle"
    """Shape of the learning rate, which is annealed to the last epoch."""
    warmup: float = 0.25
    """Share of the epochs in which the learning rate first rises to lr."""

    def build(self, epochs: int) -> ScheduleOptions:
        """Make the schedule of a training.

        Args:
            epochs: epochs of the training.
        """
        return ScheduleOptions(schedule=self.schedule, warmup_epochs=self.warmup * epochs)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to train, and until when."""

    target: float = 94.0
    """Test accuracy to reach, in percent; it is looked at after each epoch."""
    rehearse: bool = True
    """Run each program once before the clock starts."""
    model: ModelOptions = field(
        default_factory=lambda: ModelOptions(variant="resnet18", stem="cifar", dtype="auto")
    )
    data: DataOptions = field(default_factory=DataOptions)
    images: ImageOptions = field(
        default_factory=lambda: ImageOptions(
            resize=32, crop=32, augment=("crop:4", "flip", "cutout:8")
        )
    )
    training: TimedTrainingOptions = field(default_factory=TimedTrainingOptions)
    optimizer: OptimizerOptions = field(
        default_factory=lambda: OptimizerOptions(lr=0.4, nesterov=True, weight_decay=5e-4)
    )
    schedule: TimedScheduleOptions = field(default_factory=TimedScheduleOptions)
    eval_batch_size: int = 1000
    """Images per evaluation step; changes only speed and memory."""
    flip_test: bool = True
    """Average the logits of each test image and its mirror image."""
    out: Path | None = None
    """JSON file for the result; None prints it only."""
    overwrite: bool = False
    """Replace the JSON file if it exists."""

    def check(self) -> None:
        """Find what is wrong with the options by themselves.

        Raises:
            ValueError: naming the option, its value and what would work.
            FileExistsError: if the JSON file exists and must not be replaced.
        """
        check_choices(self)
        if not 0.0 < self.target <= 100.0:
            raise ValueError(f"`target` (={self.target}) must be above 0 and at most 100 (percent)")
        if self.training.epochs < 0:
            raise ValueError(
                f"`epochs` (={self.training.epochs}) must be at least 1, or 0 to follow `target`"
            )
        if not 0.0 < self.schedule.warmup < 1.0:
            raise ValueError(f"`warmup` (={self.schedule.warmup}) must be above 0 and below 1")
        self.recipe.check()
        if self.out is not None:
            check_new((self.out,), overwrite=self.overwrite)

    @property
    def epochs(self) -> int:
        """Epochs of the training."""
        return self.training.epochs or next(
            (epochs for target, epochs in EPOCHS.items() if self.target <= target),
            max(EPOCHS.values()),
        )

    @property
    def recipe(self) -> Recipe:
        """The same training as a recipe."""
        training = {**asdict(self.training), "epochs": self.epochs}
        return Recipe(
            model=self.model,
            data=self.data,
            # In memory whatever the size, for the device is to hold them.
            photos=PhotoOptions(stream="never"),
            images=self.images,
            training=TrainingOptions(**training),
            optimizer=self.optimizer,
            schedule=self.schedule.build(self.epochs),
            evaluation=EvaluationOptions(
                eval_batch_size=self.eval_batch_size,
                train_accuracy="none",
                flip_test=self.flip_test,
            ),
        )


def load(recipe: Recipe) -> tuple[Dataset, Arrays]:
    """Load a data set, and return it with all its images that are not test images.

    Args:
        recipe: the training.

    Raises:
        ValueError: if it cannot be loaded, as `DatasetError`, or is not in memory.
    """
    if recipe.data.dataset != FOLDER:
        dataset = recipe.data.build()
        return dataset, _in_memory(dataset.train)
    photos = recipe.photos.build(
        recipe.data.data_dir or Path(),
        recipe.images,
        seed=recipe.training.seed,
        on_found=recipe.check_found,
    )
    train = _in_memory(photos.dataset.train)
    if photos.valid is photos.dataset.test:
        return photos.dataset, train
    valid = _in_memory(photos.valid)
    return photos.dataset, Arrays(
        np.concatenate((train.images, valid.images)), np.concatenate((train.labels, valid.labels))
    )


def _in_memory(part: Arrays | ImageStream) -> Arrays:
    """Return a part of a data set.

    Raises:
        ValueError: if its images are read when they are needed.
    """
    if isinstance(part, ImageStream):
        raise ValueError("`dataset` is read when it is needed; name one that fits into memory")
    return part


def summarise(
    target: float, dtype: str, training: TimedTraining, epochs: Sequence[TimedEpoch]
) -> dict[str, Any]:
    """Return what the training took and reached.

    Args:
        target: the test accuracy to reach, in percent.
        dtype: type that the network computes in.
        training: its programs.
        epochs: its epochs, at least one; only the last one may have reached the target.
    """
    last, seconds = epochs[-1], sum(epoch.seconds for epoch in epochs)
    rate = training.images_per_epoch / seconds
    flops = rate * sum(training.flops_per_image[epoch.side] for epoch in epochs)
    peak, reached = peak_flops(training.device, dtype), last.accuracy >= target
    return {
        "target": target,
        "reached": reached,
        "epochs": len(epochs),
        "accuracy": last.accuracy,
        "seconds_to_target": seconds + last.eval_seconds if reached else None,
        "training_seconds": seconds,
        "evaluation_seconds": sum(epoch.eval_seconds for epoch in epochs),
        "compile_seconds": training.compile_seconds,
        "images_per_second": len(epochs) * rate,
        "flops_per_image": {f"{side} px": n for side, n in training.flops_per_image.items()},
        "flops_per_second": flops,
        "peak_flops_per_second": peak,
        "share_of_peak": None if peak is None else flops / peak,
        "history": [epoch._asdict() for epoch in epochs],
    }


def describe(result: dict[str, Any]) -> str:
    """Return what the training took and reached, in two lines.

    Args:
        result: of `summarise`.
    """
    epochs, seconds = result["epochs"], result["training_seconds"]
    if result["reached"]:
        found = (
            f"{result['target']:g} % reached after {epochs} epochs, in "
            f"{result['seconds_to_target']:.2f} s: {seconds:.2f} s of training, and the last "
            "evaluation"
        )
    else:
        found = (
            f"{result['target']:g} % not reached in {epochs} epochs and {seconds:.2f} s of training"
        )
    share, peak = "unknown", result["peak_flops_per_second"]
    if peak is not None:
        share = f"{result['share_of_peak']:.1%} of {peak / 1e12:g} TFLOP/s"
    return (
        f"{found}; all evaluations took {result['evaluation_seconds']:.2f} s\n"
        f"{result['images_per_second']:,.0f} images/s, "
        f"{result['flops_per_second'] / 1e12:.3g} TFLOP/s; share of the chip's bfloat16 peak: "
        f"{share}"
    )


def work(options: Options) -> int:
    """Do what the options say; return the exit code."""
    options.check()
    recipe = options.recipe.resolve()
    dtype = recipe.model.dtype
    dataset, train = load(recipe)
    print(f"{describe_machine()}", flush=True)
    training = TimedTraining.create(recipe, dataset, train)
    device = {"kind": training.device.device_kind, "platform": training.device.platform}
    print(
        f"device: {device['kind']} ({device['platform']}); {recipe.model.variant}, "
        f"{training.parameters:,} parameters, {dtype}\n"
        f"{dataset.name}: {len(train):,} training and {len(dataset.test):,} test images, "
        f"{len(dataset.class_names)} classes\ncompiled: "
        + ", ".join(f"{name} in {n:.1f} s" for name, n in training.compile_seconds.items()),
        flush=True,
    )
    if options.rehearse:
        training.rehearse()
    print("epoch  pixels  seconds    loss  accuracy", flush=True)
    epochs = []
    for epoch in training.run():
        epochs.append(epoch)
        print(
            f"{epoch.epoch:5}  {epoch.side:6}  {epoch.seconds:7.2f}  {epoch.loss:6.4f}  "
            f"{epoch.accuracy:6.2f} %",
            flush=True,
        )
        if epoch.accuracy >= options.target:
            break
    result = summarise(options.target, dtype, training, epochs)
    print(describe(result))
    if options.out is not None:
        data = {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "training_images": len(train),
            "test_images": len(dataset.test),
        }
        facts = {"machine": machine(), "device": device, "data": data}
        settled = {"epochs": options.epochs, "dtype": dtype}
        write_json(options.out, {**result, **facts, "options": {**flatten(options), **settled}})
        print(f"result: {printable(str(options.out))}")
    return 0 if result["reached"] else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return cli.exit_code(lambda: work(cli.parse(Options, argv, description=__doc__)))


if __name__ == "__main__":
    raise SystemExit(main())
