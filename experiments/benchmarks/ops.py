"""Convolution, pooling and normalisation: ours, XLA's own and torch's, side by side.

    python -m experiments.benchmarks.ops
    python -m experiments.benchmarks.ops --only "3x3" --clock cpu --json ops.json

The shapes are those of ResNet-34, ResNet-50 and ResNeXt-50 32x4d at 110 pixels. Each row is a
layer's forward pass, its gradient for the input or its gradient for the kernel, in milliseconds:
medians over runs that alternate between the sides. Torch, where it is installed, runs in the better
of its two memory layouts. On a shared machine `--clock cpu` is steadier: processor seconds divided
by the number of processors.

The constants of `resnet_jax.ops.conv.matmul` and `resnet_jax.ops.conv.gradients` come from this
table: to tune one, change it, run the rows that it affects and keep the better value.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from resnet_jax.ops import batch_norm_train, conv2d, max_pool

from .command_line import CommandLine
from .harness import Run, exit_code, new_file, save


@dataclass(frozen=True)
class Layer:
    """A convolution of square images and kernels, padded to keep the size at stride 1."""

    side: int
    channels: int
    features: int
    kernel: int
    stride: int = 1
    groups: int = 1

    @property
    def name(self) -> str:
        """The name in the table.

        >>> Layer(28, 64, 128, 3, stride=2).name
        '3x3/2 64->128 @28'
        """
        stride = f"/{self.stride}" if self.stride > 1 else ""
        groups = f" g{self.groups}" if self.groups > 1 else ""
        size = f"{self.kernel}x{self.kernel}{stride}"
        return f"{size} {self.channels}->{self.features}{groups} @{self.side}"


LAYERS = (
    Layer(110, 3, 64, 7, stride=2),
    *(Layer(side, width, width, 3) for side, width in ((28, 64), (14, 128), (7, 256), (4, 512))),
    Layer(28, 64, 128, 3, stride=2),
    Layer(7, 256, 512, 3, stride=2),
    Layer(28, 256, 64, 1),
    Layer(28, 64, 256, 1),
    Layer(14, 512, 128, 1),
    Layer(7, 256, 1024, 1),
    Layer(4, 2048, 512, 1),
    Layer(28, 256, 512, 1, stride=2),
    *(
        Layer(side, width, width, 3, groups=32)
        for side, width in ((28, 128), (14, 256), (7, 512), (4, 1024))
    ),
)
ACTIVATIONS = ((55, 64), (28, 64), (28, 256), (14, 256))


@dataclass(frozen=True)
class Row:
    """Milliseconds of one operation; None where a side was not measured."""

    operation: str
    ours: float
    lax: float
    torch: float | None

    @property
    def ratio(self) -> float | None:
        """Torch's time over ours: above 1, ours is faster."""
        return None if self.torch is None else self.torch / self.ours


def measure(sides: dict[str, Run], repeats: int, clock: str) -> dict[str, float]:
    """Return the median milliseconds of each side; the runs alternate between the sides."""
    read = time.perf_counter if clock == "wall" else time.process_time
    share = 1 if clock == "wall" else os.cpu_count() or 1
    times: dict[str, list[float]] = {name: [] for name in sides}
    for run in sides.values():
        run()
    for _ in range(repeats):
        for name, run in sides.items():
            start = read()
            run()
            times[name].append((read() - start) / share)
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def normal(*shape: int) -> Array:
    """Return reproducible normal values in float32."""
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def compiled(function: Callable[..., Any], *operands: Array) -> Run:
    """Return a run of the jitted function that waits for its results."""
    jitted = jax.jit(function)
    return lambda: jax.block_until_ready(jitted(*operands))


def pullback(function: Callable[..., Any], argument: int, *operands: Array) -> Run:
    """Return a run of the gradient for one argument; the last operand is the output's gradient."""

    def gradient(*operands: Array) -> Array:
        *inputs, g = operands
        own = inputs[argument]

        def of_one(value: Array) -> Array:
            return function(*inputs[:argument], value, *inputs[argument + 1 :])

        return jax.vjp(of_one, own)[1](g)[0]

    return compiled(gradient, *operands)


def plain_convolution(layer: Layer, x: Array, kernel: Array) -> Array:
    """Convolve with XLA's own operation."""
    pad = layer.kernel // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (layer.stride, layer.stride),
        [(pad, pad), (pad, pad)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=layer.groups,
    )


def our_convolution(layer: Layer, x: Array, kernel: Array) -> Array:
    """Convolve with the library's operation."""
    pad = layer.kernel // 2
    stride = (layer.stride, layer.stride)
    return conv2d(x, kernel, stride=stride, padding=(pad, pad), groups=layer.groups)


def plain_pool(x: Array) -> Array:
    """Pool 3x3 windows with stride 2 by XLA's own operation."""
    sides = (1, 1)
    return lax.reduce_window(
        x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), sides, sides, (0, 0))
    )


def plain_norm(x: Array) -> Array:
    """Normalise by the formula, which JAX differentiates."""
    mean = x.mean((0, 1, 2), keepdims=True)
    return (x - mean) * lax.rsqrt(jnp.square(x - mean).mean((0, 1, 2), keepdims=True) + 1e-5)


def our_norm(x: Array) -> Array:
    """Normalise with the library's operation, with a scale of 1 and a bias of 0."""
    channels = x.shape[-1:]
    return batch_norm_train(x, jnp.ones(channels), jnp.zeros(channels))[0]


def torch_convolutions(layer: Layer, x: Array, kernel: Array, g: Array) -> dict[str, dict]:
    """Return torch's runs in both memory layouts, by operation."""
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    pads, strides = [layer.kernel // 2] * 2, [layer.stride] * 2
    images, grads = (torch.from_numpy(np.array(a).transpose(0, 3, 1, 2).copy()) for a in (x, g))
    weights = torch.from_numpy(np.array(kernel).transpose(3, 2, 0, 1).copy())
    runs: dict[str, dict] = {"forward": {}, "input gradient": {}, "kernel gradient": {}}
    for layout in (torch.contiguous_format, torch.channels_last):
        own, own_g = images.to(memory_format=layout), grads.to(memory_format=layout)

        def backward(which: list[bool], own: Any = own, own_g: Any = own_g) -> Any:
            return torch.ops.aten.convolution_backward(
                own_g, own, weights, None, strides, pads, [1, 1], False, [0, 0], layer.groups, which
            )

        forward = partial(torch.conv2d, own, weights, None, strides, pads, 1, layer.groups)
        runs["forward"][f"torch {layout}"] = forward
        runs["input gradient"][f"torch {layout}"] = partial(backward, [True, False, False])
        runs["kernel gradient"][f"torch {layout}"] = partial(backward, [False, True, False])
    return runs


def convolution_sides(layer: Layer, batch: int) -> Iterator[tuple[str, dict[str, Run]]]:
    """Yield the name and the sides of a layer's forward pass and of its two gradients."""
    x = normal(batch, layer.side, layer.side, layer.channels)
    kernel = normal(layer.kernel, layer.kernel, layer.channels // layer.groups, layer.features)
    ours, plain = partial(our_convolution, layer), partial(plain_convolution, layer)
    g = normal(*jax.eval_shape(ours, x, kernel).shape)
    torch_runs = torch_convolutions(layer, x, kernel, g)
    for operation, run in (
        ("forward", lambda f: compiled(f, x, kernel)),
        ("input gradient", lambda f: pullback(f, 0, x, kernel, g)),
        ("kernel gradient", lambda f: pullback(f, 1, x, kernel, g)),
    ):
        sides = {"ours": run(ours), "lax": run(plain), **torch_runs.get(operation, {})}
        yield f"{layer.name} {operation}", sides


def activation_sides(side: int, channels: int, batch: int) -> Iterator[tuple[str, dict[str, Run]]]:
    """Yield the name and the sides of normalisation, and of pooling where the network pools."""
    x = normal(batch, side, side, channels)
    operations = [("batch norm", our_norm, plain_norm)]
    if side == ACTIVATIONS[0][0]:
        operations.append(("max pool", max_pool, plain_pool))
    for name, ours, plain in operations:
        g = normal(*jax.eval_shape(plain, x).shape)
        forward = {"ours": compiled(ours, x), "lax": compiled(plain, x)}
        yield f"{name} {channels} @{side} forward", forward
        gradient = {"ours": pullback(ours, 0, x, g), "lax": pullback(plain, 0, x, g)}
        yield f"{name} {channels} @{side} both ways", gradient


def rows(only: str, batch: int, repeats: int, clock: str) -> Iterator[Row]:
    """Measure the operations whose names contain `only`, one after another."""
    for layer in LAYERS:
        for name, sides in convolution_sides(layer, batch):
            if only in name:
                yield _row(name, measure(sides, repeats, clock))
    for side, channels in ACTIVATIONS:
        for name, sides in activation_sides(side, channels, batch):
            if only in name:
                yield _row(name, measure(sides, repeats, clock))


def _row(name: str, times: dict[str, float]) -> Row:
    torch_times = [value for side, value in times.items() if side.startswith("torch")]
    return Row(name, times["ours"], times["lax"], min(torch_times, default=None))


def work(argv: Sequence[str] | None) -> int:
    """Do what the command line says; return the exit code."""
    parser = CommandLine(__doc__)
    parser.add_argument("--only", default="", help="operations whose name contains this")
    parser.add_argument("--batch", type=int, default=32, help="images")
    parser.add_argument("--repeats", type=int, default=9, help="runs of each side")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--json", type=new_file, help="also write the rows to this file")
    options = parser.parse_args(argv)
    print(f"{'milliseconds':42}{'ours':>9}{'lax':>9}{'torch':>9}{'torch/ours':>12}")
    measured = []
    for row in rows(options.only, options.batch, options.repeats, options.clock):
        measured.append(row)
        torch_time = "-" if row.torch is None else f"{row.torch:.2f}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        print(
            f"{row.operation:42}{row.ours:9.2f}{row.lax:9.2f}{torch_time:>9}{ratio:>12}",
            flush=True,
        )
    settings = {"batch": options.batch, "repeats": options.repeats, "clock": options.clock}
    save(options.json, {**settings, "rows": [asdict(row) for row in measured]})
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: work(argv))


if __name__ == "__main__":
    raise SystemExit(main())
