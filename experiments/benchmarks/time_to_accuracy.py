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
calculated. A run ends at the first epoch that reaches the target, which favours lucky epochs;
airbench states accuracies after a fixed number of epochs, as --no-stop does. FLOP/s are those of
the convolutions and of the last layer, counted from their shapes, three times the forward pass;
their share is of the chip's peak for dense bfloat16 matrices.

The marks are those of an A100: a standard ResNet-18 reaches 96.0 % of CIFAR-10's test images in 7
minutes (https://github.com/KellerJordan/cifar10-airbench, README), and takes about 3 seconds an
epoch in torch. On an NVIDIA H200 an epoch took 0.56 seconds, and 16 epochs 9 seconds (26 November
2026, JAX 0.11.2, JPEG copies of CIFAR-10's images). CIFAR-10 itself was not available: whether the
defaults reach 94, 95 or 96 % in their 16, 30 and 64 epochs is not measured.

On the embedded digits, with a narrow network on a CPU:

    python -m experiments.benchmarks.time_to_accuracy --dataset digits --base-planes 16 \
        --batch-size 64 --lr 0.1 --augment crop:2 --no-flip-test --no-rehearse

This reached 94 % after 4 epochs, in 84 seconds on two CPU cores that were busy with other work.

Exit codes: 0 the target is reached, 1 it is not within the epochs, 2 an error that you can mend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_jax.storage import printable, write_json

from .. import cli
from ..flat import flatten
from .flops import peak_flops
from .harness import describe_machine, machine
from .timed_options import Options, load
from .timed_training import TimedEpoch, TimedTraining


def summarise(
    target: float, dtype: str, training: TimedTraining, epochs: Sequence[TimedEpoch]
) -> dict[str, Any]:
    """Return what the training took and reached.

    Args:
        target: the test accuracy to reach, in percent.
        dtype: type that the network computes in.
        training: its programs.
        epochs: its epochs, at least one; the last one says whether the target is reached.
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
    seconds, epochs = result["training_seconds"], f"{result['epochs']} epochs"
    if result["epochs"] == 1:
        epochs = "1 epoch"
    if result["reached"]:
        found = (
            f"{result['target']:g} % reached after {epochs}, in "
            f"{result['seconds_to_target']:.2f} s: {seconds:.2f} s of training, and the last "
            "evaluation"
        )
    else:
        found = f"{result['target']:g} % not reached in {epochs} and {seconds:.2f} s of training"
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
        if options.stop and epoch.accuracy >= options.target:
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
