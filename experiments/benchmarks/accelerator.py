"""Measure ours, plain Flax and torch on whatever JAX finds, and write one table.

    python -m experiments.benchmarks.accelerator --out runs/accelerator
    python -m experiments.benchmarks.accelerator --networks resnet50 --dtypes bfloat16 --minutes 10
    python -m experiments.benchmarks.accelerator --parts steps --sides ours torch torch-compile

Three parts, on the first device:

- `steps`: training step (SGD with momentum) and forward pass on random images, for every network,
  type and batch size;
- `epoch`: an epoch of training on random images of 32 pixels that are whole on the device, where
  they are resized to 36 and cropped at random to 32 pixels;
- `input`: random crops (32 pixels, resized to 120, cropped to 110 and normalised), ours compiled
  for the device, and Pillow with torch on one core.

The sides are `ours`; `flax`, the same networks of `nn.Conv` and `nn.BatchNorm`; `torch`, eager;
`torch-compile`, by `torch.compile`; and `torch-nchw`, eager in the other memory layout, which is
left out unless it is named. Torch runs where it is installed, on a GPU if it finds one and
otherwise on the CPU, in channels_last, and in bfloat16 by autocast; ours and plain Flax compute in
bfloat16 with parameters in float32, too. A side that cannot run says why in the table.

Each side has a process of its own, and they take turns. JAX does not reserve the device's memory
in advance (XLA_PYTHON_CLIENT_PREALLOCATE=false), because torch needs some; it may take up to 95 %.
A side that runs out of memory beside the others is measured again alone; what is missing even then
is noted, as is a process that ends. A turn repeats its job for about half a second, after an
untimed repetition, and waits for the last result (`jax.block_until_ready`,
`torch.cuda.synchronize`); on a GPU the time between two CUDA events is in the JSON file, too. A
time is a median over turns, that of an epoch over three at most. Compilation is in the table of
first runs and nowhere else.

Peak memory comes from the device's allocator where it keeps statistics (JAX's also count what the
search for fast kernels took while compiling), otherwise from the process's resident set above that
with the libraries loaded, otherwise from the compiler's analysis. The tables say which.

The defaults depend on the device: 224 pixels, batches of 32, 128 and 256 and an epoch of 50,000
images on an accelerator, which takes an hour or more; 64 pixels, batches of 8 and an epoch of 256
images on a CPU. With `--minutes` what would begin later is named as left out. The files
`accelerator.md` and `accelerator.json` in the folder `--out` are written after every measurement.

The command has run on CPUs and on an NVIDIA H200; an out-of-memory error of a GPU was not met.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_jax.storage import expand_user

from .accelerator_report import Report
from .bench import Bench
from .command_line import CommandLine
from .harness import Failure, ProcessError, Remote, exit_code, machine
from .turns import Deadline, Side, measure

NETWORKS = ("resnet18", "resnet34", "resnet50", "resnext50_32x4d")
DTYPES = ("float32", "bfloat16")
PARTS = ("input", "steps", "epoch")
JOBS = ("forward", "train step")
"""In this order, because an allocator's peak never falls and a forward pass takes less."""

MOST_EPOCHS = 3
"""The most turns of an epoch, which is long enough to be steady."""

NO_PREALLOCATION = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    # Without it JAX stops at three quarters of the memory, and torch does not.
    "XLA_CLIENT_MEM_FRACTION": "0.95",
}
"""For processes of JAX, which share the memory of a GPU with torch's.

References:
    https://docs.jax.dev/en/latest/201/gpu-memory.html
"""

NO_DEVICE = {"JAX_PLATFORMS": "cpu"}
"""For processes of torch, which import JAX but compute nothing with it."""

SIDES: Mapping[str, dict[str, Any]] = {
    "ours": {"plain": False},
    "flax": {"plain": True},
    "torch": {"layout": "channels_last", "compiled": False},
    "torch-compile": {"layout": "channels_last", "compiled": True},
    "torch-nchw": {"layout": "NCHW", "compiled": False},
}
"""What tells the sides apart: arguments of their benches."""


@dataclass(frozen=True)
class Sizes:
    """What is measured unless the command line says otherwise.

    Attributes:
        side: Pixels of an image's side.
        batch_sizes: Images of a step.
        epoch_images: Images of an epoch.
    """

    side: int
    batch_sizes: tuple[int, ...]
    epoch_images: int


ON_ACCELERATOR = Sizes(side=224, batch_sizes=(32, 128, 256), epoch_images=50_000)
ON_CPU = Sizes(side=64, batch_sizes=(8,), epoch_images=256)


def jax_steps(**arguments: Any) -> Bench:
    """Make the steps of ours or plain Flax."""
    from .jax_bench import JaxSteps

    return JaxSteps(**arguments)


def jax_epoch(**arguments: Any) -> Bench:
    """Make the epoch of ours or plain Flax."""
    from .jax_bench import JaxEpoch

    return JaxEpoch(**arguments)


def jax_transform(**arguments: Any) -> Bench:
    """Make our random crops."""
    from .jax_bench import JaxTransform

    return JaxTransform(**arguments)


def torch_steps(**arguments: Any) -> Bench:
    """Make the steps of torch."""
    from .torch_bench import TorchSteps

    return TorchSteps(**arguments)


def torch_epoch(**arguments: Any) -> Bench:
    """Make the epoch of torch."""
    from .torch_bench import TorchEpoch

    return TorchEpoch(**arguments)


def pillow_transform(**arguments: Any) -> Bench:
    """Make the random crops of Pillow and torch."""
    from .torch_bench import PillowTransform

    return PillowTransform(**arguments)


class Probe:
    """Says what a library computes on.

    Args:
        library: `"jax"` or `"torch"`.
    """

    def __init__(self, library: str) -> None:
        self._library = library

    def facts(self) -> dict[str, Any]:
        """Return the facts of the library's device."""
        if self._library == "jax":
            from .jax_bench import facts
        else:
            from .torch_bench import facts
        return facts()


def probe(library: str, deadline: Deadline) -> dict[str, Any] | Failure:
    """Ask a process of its own what a library computes on.

    Args:
        library: `"jax"` or `"torch"`.
        deadline: When the answer must be there.
    """
    if importlib.util.find_spec(library) is None:
        return Failure(reason := f"{library} is not installed", reason)
    environment = NO_DEVICE if library == "torch" else NO_PREALLOCATION
    try:
        with Remote(Probe, environment, library=library) as process:
            process.ready(deadline.timeout)
            return process.call("facts", timeout=deadline.timeout)
    except ProcessError as error:
        return error.failure


def library_of(side: str) -> str:
    """Return the library of a side."""
    return "torch" if side.startswith("torch") else "jax"


def make_side(
    side: str, *, jax: Callable[..., Bench], torch: Callable[..., Bench], **arguments: Any
) -> Side:
    """Return a side with its own arguments beside those that all sides have.

    Args:
        side: A name in `SIDES`.
        jax: Makes the bench of a side in JAX.
        torch: Makes the bench of a side in torch.
        **arguments: What all have.
    """
    of_jax = library_of(side) == "jax"
    environment = NO_PREALLOCATION if of_jax else NO_DEVICE
    return Side(jax if of_jax else torch, {**SIDES[side], **arguments}, environment)


@dataclass(frozen=True)
class Cell:
    """What is measured at once: some jobs of all sides.

    Attributes:
        part: One of `PARTS`.
        jobs: The names of the jobs.
        sides: The sides by name.
        images: Images of one repetition.
        facts: What else tells the cell apart, in the order of the columns.
    """

    part: str
    jobs: tuple[str, ...]
    sides: Mapping[str, Side]
    images: int
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the cell."""
        return " ".join([self.part, *(f"{key} {value}" for key, value in self.facts.items())])


def cells(options: argparse.Namespace, sides: Sequence[str], sizes: Sizes) -> Iterator[Cell]:
    """Yield what is to be measured, in order: a network and a type with all its batch sizes.

    Args:
        options: The command line.
        sides: The sides that can run.
        sizes: Pixels, batch sizes and images of an epoch.
    """
    if "input" in options.parts:
        for batch in sizes.batch_sizes:
            crops = {}
            if "ours" in sides:
                crops["ours"] = Side(jax_transform, {"batch": batch}, NO_PREALLOCATION)
            if any(library_of(side) == "torch" for side in sides):
                crops["Pillow"] = Side(pillow_transform, {"batch": batch}, NO_DEVICE)
            if crops:
                yield Cell("input", ("random crops",), crops, batch, {"batch": batch})
    for network in options.networks:
        for dtype in options.dtypes:
            common = {"variant": network, "dtype": dtype}
            facts = {"network": network, "dtype": dtype}
            for batch in sizes.batch_sizes if "steps" in options.parts else ():
                of_steps = {
                    side: make_side(
                        side,
                        jax=jax_steps,
                        torch=torch_steps,
                        batch=batch,
                        size=sizes.side,
                        classes=1000,
                        **common,
                    )
                    for side in sides
                }
                yield Cell("steps", JOBS, of_steps, batch, {**facts, "batch": batch})
            if "epoch" in options.parts:
                batch = min(max(sizes.batch_sizes), sizes.epoch_images)
                of_epoch = {
                    side: make_side(
                        side,
                        jax=jax_epoch,
                        torch=torch_epoch,
                        batch=batch,
                        images=sizes.epoch_images,
                        **common,
                    )
                    for side in sides
                }
                count = sizes.epoch_images // batch * batch
                yield Cell("epoch", ("epoch",), of_epoch, count, {**facts, "batch": batch})


def run(options: argparse.Namespace, deadline: Deadline) -> Report:
    """Measure everything that the time is enough for.

    Args:
        options: The command line.
        deadline: When nothing new is begun.
    """
    libraries = dict.fromkeys(library_of(side) for side in options.sides)
    found = {library: probe(library, deadline) for library in libraries}
    usable = {library: facts for library, facts in found.items() if isinstance(facts, dict)}
    platforms = {facts["platform"] for facts in usable.values()}
    default = ON_CPU if platforms <= {"cpu"} else ON_ACCELERATOR
    sizes = Sizes(
        side=options.side or default.side,
        batch_sizes=tuple(options.batch_sizes or default.batch_sizes),
        epoch_images=options.epoch_images or default.epoch_images,
    )
    report = Report(
        facts={
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "libraries": usable,
            "pixels": sizes.side,
            "epoch_images": sizes.epoch_images,
            "repeats": options.repeats,
        },
        unavailable={
            side: failure.reason
            for side in options.sides
            if isinstance(failure := found[library_of(side)], Failure)
        },
    )
    sides = [side for side in options.sides if side not in report.unavailable]
    for cell in cells(options, sides, sizes) if sides else ():
        if deadline.passed:
            report.left_out.append(cell.name)
            continue
        repeats = min(options.repeats, MOST_EPOCHS) if cell.part == "epoch" else options.repeats
        results = measure(cell.sides, cell.jobs, repeats=repeats, deadline=deadline)
        for job, of_sides in results.items():
            line = report.add(cell.part, {**cell.facts, "job": job}, cell.images, of_sides)
            print(line, flush=True)
        report.save(options.out)
    return report


def positive(text: str) -> int:
    """Read an argument as a positive whole number."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return value


def work(argv: Sequence[str] | None) -> int:
    """Do what the command line says; return the exit code."""
    from ..outputs import check_new  # It imports JAX, which the processes of torch need not.

    parser = CommandLine(__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--sides",
        nargs="+",
        choices=SIDES,
        default=[side for side in SIDES if side != "torch-nchw"],
    )
    parser.add_argument("--batch-sizes", nargs="+", type=positive, help="images of a step")
    parser.add_argument("--side", type=positive, help="pixels of an image's side in `steps`")
    parser.add_argument("--epoch-images", type=positive, help="images of an epoch")
    parser.add_argument("--repeats", type=positive, default=5, help="timed turns of each job")
    parser.add_argument("--minutes", type=float, help="after which nothing new is begun")
    parser.add_argument("--out", type=expand_user, help="folder for accelerator.md and .json")
    parser.add_argument("--overwrite", action="store_true", help="replace these files")
    options = parser.parse_args(argv)
    if options.out is not None:
        check_new(Report.paths(options.out), overwrite=options.overwrite)
    deadline = Deadline() if options.minutes is None else Deadline(60 * options.minutes)
    report = run(options, deadline)
    report.save(options.out)
    print("", *report.lines(), sep="\n")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: work(argv))


if __name__ == "__main__":
    raise SystemExit(main())
