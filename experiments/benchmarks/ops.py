"""Convolution, pooling and normalisation: ours, XLA's own and torch's, side by side.

    python -m experiments.benchmarks.ops
    python -m experiments.benchmarks.ops --networks resnet34 --without lax --json ops.json
    python -m experiments.benchmarks.ops --only "3x3" --clock cpu

The layers are those of the networks. Each row is a layer's forward pass, its gradient for the input
or its gradient for the kernel, in milliseconds, with the number of such layers in each network; of
normalisations and pools it is the forward pass, and that with the gradient for the input ("both
ways"). The sides take turns in processes of their own, and torch, where it is installed, runs in
the better of its two memory layouts. At the end, the parts of a training step: the rows times the
numbers of layers, the whole step, and what is left of it, which is activations, sums, the loss and
the optimizer. Alone, an operation may be slower or faster than in the step. On a shared machine
`--clock cpu` is steadier: processor seconds divided by the number of processors.

The constants of `resnet_jax.ops.conv.matmul` and `resnet_jax.ops.conv.gradients` come from this
table: to tune one, change it, run the rows that it affects and keep the better value.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from resnet_jax.ops import cpu_lowering

from .accelerator import jax_steps, torch_steps
from .bench import Bench
from .command_line import CommandLine
from .harness import Failure, describe_machine, exit_code, new_file, print_table, save
from .layers import Layer
from .turns import Deadline, Result, Side, measure

NETWORKS = ("resnet34", "resnet50", "resnext50_32x4d")
STEP = "train step"
PARTS = {
    "convolutions, forward": ("convolution", "forward"),
    "convolutions, input gradients": ("convolution", "input gradient"),
    "convolutions, kernel gradients": ("convolution", "kernel gradient"),
    "normalisations, both ways": ("batch norm", "both ways"),
    "max pool, both ways": ("max pool", "both ways"),
}


@dataclass(frozen=True)
class Row:
    """Milliseconds of one operation; None where a side was not measured."""

    operation: str
    ours: float | None
    lax: float | None
    torch: float | None

    @classmethod
    def of(cls, operation: str, found: Mapping[str, Result | Failure], clock: str) -> Row:
        """Take the better one of torch's layouts."""
        times = {
            side: 1e3 * (result.seconds if clock == "wall" else result.cpu_seconds)
            for side, result in found.items()
            if isinstance(result, Result)
        }
        layouts = [value for side, value in times.items() if side.startswith("torch")]
        return cls(operation, times.get("ours"), times.get("lax"), min(layouts, default=None))

    @property
    def ratio(self) -> float | None:
        """Torch's time over ours: above 1, ours is faster."""
        return None if self.torch is None or self.ours is None else self.torch / self.ours

    def cells(self) -> list[object]:
        """Return the row of the table."""
        values = (self.ours, self.lax, self.torch, self.ratio)
        return [self.operation, *("-" if value is None else value for value in values)]


def jax_ops(**arguments: Any) -> Bench:
    """Make the jobs of a layer in JAX; see `JaxOps`."""
    from .jax_ops import JaxOps

    return JaxOps(**arguments)


def torch_ops(**arguments: Any) -> Bench:
    """Make the jobs of a layer in torch; see `TorchOps`."""
    from .torch_ops import TorchOps

    return TorchOps(**arguments)


class Benchmark:
    """Measures the operations, and remembers the rows.

    Args:
        sides: What is measured: `"ours"`, `"lax"` and `"torch"`.
        batch: Images.
        repeats: Turns of each side.
        clock: `"wall"` or `"cpu"`.

    Attributes:
        rows: The rows by name of the operation.
        failures: What failed, and why.
    """

    def __init__(self, sides: Sequence[str], *, batch: int, repeats: int, clock: str) -> None:
        self._sides, self._batch, self._repeats, self._clock = sides, batch, repeats, clock
        self.rows: dict[str, Row] = {}
        self.failures: list[str] = []

    def _measure(self, name: str, sides: Mapping[str, Side], jobs: Sequence[str]) -> Iterator[Row]:
        found = measure(sides, jobs, repeats=self._repeats, deadline=Deadline())
        for job, results in found.items():
            operation = f"{name} {job}"
            self.rows[operation] = Row.of(operation, results, self._clock)
            for side, result in results.items():
                if isinstance(result, Failure):
                    self.failures.append(f"{operation}, {side}: {result.reason}")
            yield self.rows[operation]

    def layer(self, layer: Layer, jobs: Sequence[str]) -> Iterator[Row]:
        """Measure jobs of a layer."""
        common = {"layer": layer, "batch": self._batch}
        sides = {
            name: Side(jax_ops, {**common, "plain": name == "lax"})
            for name in self._sides
            if name != "torch"
        }
        yield from self._measure(layer.name, sides | self._torch(torch_ops, common), jobs)

    def step(self, variant: str, size: int) -> Row:
        """Measure a whole training step."""
        common = {"variant": variant, "batch": self._batch, "size": size}
        sides = {"ours": Side(jax_steps, {**common, "plain": False})}
        torch = self._torch(torch_steps, {**common, "device": "cpu"})
        return next(self._measure(variant, sides | torch, [STEP]))

    def _torch(self, make: Callable[..., Bench], common: Mapping[str, Any]) -> dict[str, Side]:
        """Return torch's sides, one for each of its memory layouts, if it is measured."""
        layouts = ("NCHW", "channels_last") if "torch" in self._sides else ()
        return {f"torch {layout}": Side(make, {**common, "layout": layout}) for layout in layouts}

    def parts(self, variant: str, layers: Mapping[Layer, int], step: Row) -> Iterator[Row]:
        """Yield the parts of a step, what is left, and the step."""
        parts = []
        for part, (operation, job) in PARTS.items():
            counted = [
                (self.rows[f"{layer.name} {job}"], count)
                for layer, count in layers.items()
                if layer.operation == operation and job in layer.jobs
            ]
            sums = [
                _total([getattr(row, side) for row, _ in counted], [count for _, count in counted])
                for side in ("ours", "torch")
            ]
            parts.append(Row(f"{variant}: {part}", sums[0], None, sums[1]))
        yield from parts
        left = [
            _total([getattr(row, side) for row in (step, *parts)], [1, *[-1] * len(parts)])
            for side in ("ours", "torch")
        ]
        yield Row(f"{variant}: all else", left[0], None, left[1])
        yield Row(f"{variant}: the step", step.ours, None, step.torch)


def _total(values: Sequence[float | None], counts: Sequence[int]) -> float | None:
    """Return the sum of values times counts; None if a value is missing."""
    total = 0.0
    for value, count in zip(values, counts, strict=True):
        if value is None:
            return None
        total += value * count
    return total


def work(argv: Sequence[str] | None) -> int:
    """Do what the command line says; return the exit code."""
    parser = CommandLine(__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--only", default="", help="rows whose operation contains this")
    parser.add_argument("--without", nargs="+", default=[], choices=("lax", "torch"))
    parser.add_argument("--batch", type=int, default=32, help="images")
    parser.add_argument("--size", type=int, default=110, help="pixels of an image's side")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each side")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--json", type=new_file, help="also write the rows to this file")
    options = parser.parse_args(argv)
    from .jax_ops import layers_of

    sides = [side for side in ("ours", "lax", "torch") if side not in options.without]
    if "torch" in sides and importlib.util.find_spec("torch") is None:
        sides.remove("torch")
    networks = {variant: layers_of(variant, options.size) for variant in options.networks}
    layers = list(sum(networks.values(), Counter()))
    convolutions = str(cpu_lowering())
    print(f"{describe_machine()}\nConvolutions of ours: {convolutions}\n", flush=True)
    benchmark = Benchmark(sides, batch=options.batch, repeats=options.repeats, clock=options.clock)

    def rows() -> Iterator[list[object]]:
        for layer in layers:
            counts = "/".join(str(of_layers[layer]) for of_layers in networks.values())
            jobs = [job for job in layer.jobs if options.only in f"{layer.name} {job}"]
            for row in benchmark.layer(layer, jobs) if jobs else ():
                yield [counts, *row.cells()]

    columns = ["ours ms", "lax ms", "torch ms", "torch/ours"]
    print_table(["layers in " + "/".join(networks), "operation", *columns], rows())
    parts: list[Row] = []
    if not options.only:
        print(flush=True)
        for variant, of_layers in networks.items():
            step = benchmark.step(variant, options.size)
            parts += benchmark.parts(variant, of_layers, step)
        print_table(["part", *columns], [row.cells() for row in parts])
    for failure in benchmark.failures:
        print(f"Failed: {failure}", file=sys.stderr)
    settings = {"batch": options.batch, "size": options.size, "clock": options.clock}
    measured = [asdict(row) for row in [*benchmark.rows.values(), *parts]]
    save(options.json, {**settings, "convolutions": convolutions, "rows": measured})
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: work(argv))


if __name__ == "__main__":
    raise SystemExit(main())
