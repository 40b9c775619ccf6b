"""Compile training steps ahead of time for TPU v5e chips, on a machine without any.

    pip install -e '.[tpu]'
    python -m experiments.benchmarks.tpu_compile
    python -m experiments.benchmarks.tpu_compile --transforms

For each network, beside a plain Flax twin, it prints the compiler's estimates of one step on one
chip: floating-point operations, bytes accessed, peak memory, and the number and bytes of
collectives. A second table gives the collectives' bytes for other numbers of chips. A compilation
takes minutes of all cores; nothing is run.

With `--transforms` it compiles, for one chip, the transform of `input_pipeline` with each
augmentation, and counts what a TPU does one after the other: gathers, scatters and loops. Beside it
is what the same program would be if a TPU fetched pixels and levels as other platforms do. The
estimates take the inside of a loop for one turn.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import Array
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from resnet_jax.data import AUGMENTATIONS, Pipeline, make_augmentation
from resnet_jax.models import ResNet, create_model
from resnet_jax.training import (
    Batch,
    Engine,
    TrainState,
    make_optimizer,
    make_train_step,
    train_step,
)

from .command_line import CommandLine
from .flax_side import PlainResNet
from .harness import exit_code, print_table
from .input_pipeline import SOURCE, our_transform

NETWORKS = ("resnet34", "resnet50", "resnext50_32x4d")
BUILDS = ("shared statistics", "bfloat16 reduction", "per-device statistics", "plain Flax")
"""Ours, ours with gradients that are reduced in bfloat16, ours with BatchNorm per device, and the
twin."""
TOPOLOGY = "v5e:2x4"
SIZE = 110
CHIPS = (1, 8, 64, 256)
SERIAL = ("gather", "scatter", "while")
"""What a TPU does one after the other."""

_COLLECTIVE = re.compile(
    r" = (?P<shape>.+?) (?P<name>all-reduce|all-gather|reduce-scatter|all-to-all|"
    r"collective-permute)(?:-start)?\("
)
_ARRAY = re.compile(r"\b(?P<type>pred|[a-z]+(?P<bits>\d+)\w*)\[(?P<shape>[\d,]*)\]")


@dataclass(frozen=True)
class Cost:
    """The compiler's estimates of one step, for one chip.

    Attributes:
        flops: Floating-point operations.
        bytes_accessed: Bytes read from and written to the chip's memory.
        peak_bytes: Peak memory, in bytes.
        collectives: The number of collectives.
        collective_bytes: Bytes of the collectives' results.
        seconds: Time that the compilation took.
    """

    flops: float
    bytes_accessed: float
    peak_bytes: int
    collectives: int
    collective_bytes: int
    seconds: float


def collective_sizes(program: str) -> list[int]:
    """Return the bytes of the result of every collective in a compiled program's text.

    >>> collective_sizes("%a = (f32[64]{0}, bf16[2,3]{1,0}) all-reduce(%b, %c), channel_id=1")
    [268]
    """
    return [_bytes(match["shape"]) for match in _COLLECTIVE.finditer(program)]


def _bytes(shape: str) -> int:
    total = 0
    for array in _ARRAY.finditer(shape):
        size = int(array["bits"]) // 8 if array["bits"] else 1
        for side in filter(None, array["shape"].split(",")):
            size *= int(side)
        total += size
    return total


def ring_bytes(payload: int, chips: int) -> float:
    """Return the bytes that each chip sends to reduce `payload` bytes over a ring.

    References:
        Patarasuk and Yuan 2009, https://doi.org/10.1016/j.jpdc.2008.09.002
    """
    return 2 * (chips - 1) / chips * payload


def _model(network: str, build: str) -> nn.Module:
    if build == "plain Flax":
        return PlainResNet(network, jnp.bfloat16)
    model: ResNet = create_model(network, 10, dtype=jnp.bfloat16)
    return model


def _state(model: nn.Module, tx: optax.GradientTransformation) -> TrainState:
    """Return the shapes of a state."""

    def make(key: Array) -> TrainState:
        variables = model.init(key, jnp.zeros((2, SIZE, SIZE, 3)), train=True)
        params = variables["params"]
        return TrainState(
            jnp.zeros((), jnp.int32), params, variables["batch_stats"], tx.init(params)
        )

    return jax.eval_shape(make, jax.random.key(0))


def compile_step(network: str, build: str, devices: Sequence[Any], images_per_chip: int) -> Cost:
    """Compile a training step.

    Args:
        network: One of `NETWORKS`.
        build: One of `BUILDS`.
        devices: The devices of a topology.
        images_per_chip: Images of a step on each chip.
    """
    start = time.perf_counter()
    engine = Engine.create("jit", devices=devices)
    model, tx = _model(network, build), make_optimizer(0.1)
    state, key = engine.abstract((_state(model, tx), jax.eval_shape(jax.random.key, 0)))
    sharding = NamedSharding(engine.mesh, PartitionSpec(engine.axis_name))
    images = images_per_chip * len(devices)
    batch = Batch(
        jax.ShapeDtypeStruct((images, SIZE, SIZE, 3), jnp.bfloat16, sharding=sharding),
        jax.ShapeDtypeStruct((images,), jnp.int32, sharding=sharding),
    )
    step: Any
    if build == "plain Flax":
        # As one would write it: the compiler inserts the reductions.
        body = partial(train_step, model=model, tx=tx)
        step = jax.jit(
            body, donate_argnums=0, out_shardings=NamedSharding(engine.mesh, PartitionSpec())
        )
    else:
        step = make_train_step(
            model,
            tx,
            engine=engine,
            sync_batch_norm=build != "per-device statistics",
            reduce_dtype="bfloat16" if build == "bfloat16 reduction" else "float32",
        )
    compiled = step.lower(state, batch, key).compile()
    costs, sizes = compiled.cost_analysis(), collective_sizes(compiled.as_text())
    return Cost(
        flops=costs["flops"],
        bytes_accessed=costs["bytes accessed"],
        peak_bytes=compiled.memory_analysis().peak_memory_in_bytes,
        collectives=len(sizes),
        collective_bytes=sum(sizes),
        seconds=time.perf_counter() - start,
    )


def compile_transform(augmentation: str | None, device: Any, images: int, *, fetch: bool) -> Any:
    """Compile the transform of a batch of images, and an augmentation.

    Args:
        augmentation: A key of `AUGMENTATIONS`, or None.
        device: A device of a topology.
        images: Images of the batch.
        fetch: Whether pixels and levels are fetched as on other platforms.
    """
    chosen = () if augmentation is None else (make_augmentation(augmentation),)
    pipeline = Pipeline(our_transform(), chosen, num_classes=10)
    shapes = (
        jax.ShapeDtypeStruct((images, SOURCE, SOURCE, 3), jnp.uint8),
        jax.ShapeDtypeStruct((images,), jnp.int32),
        jax.eval_shape(lambda: jax.random.split(jax.random.key(0), images)),
    )
    there = SingleDeviceSharding(device)
    arguments = [jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=there) for x in shapes]

    def by_default(*operands: Any, default: Any, **platforms: Any) -> Any:
        del platforms
        return default(*operands)

    with mock.patch.object(jax.lax, "platform_dependent", by_default) if fetch else nullcontext():
        # A function of its own: JAX would find the other one's program.
        return jax.jit(lambda *values: pipeline(*values)).lower(*arguments).compile()


def measure_transforms(device: Any, images: int) -> None:
    """Print what a TPU does for the transform with each augmentation."""

    def rows() -> Iterator[list[object]]:
        for name in (None, *AUGMENTATIONS):
            for fetch in (False, True):
                program = compile_transform(name, device, images, fetch=fetch)
                costs, text = program.cost_analysis(), program.as_text()
                yield [
                    name or "none",
                    "as other platforms" if fetch else "ours",
                    f"{costs['flops'] / 1e9:.1f}",
                    costs["bytes accessed"] / 1e9,
                    program.memory_analysis().peak_memory_in_bytes / 1e9,
                    *(len(re.findall(rf" {kind}\(", text)) for kind in SERIAL),
                ]

    print(f"{images} images of {SOURCE}x{SOURCE}, on one TPU v5e chip\n")
    columns = ["GFLOP", "GB accessed", "peak GB", *(f"{kind}s" for kind in SERIAL)]
    print_table(["augmentation", "build", *columns], rows())


def work(argv: Sequence[str] | None) -> int:
    """Do what the command line says; return the exit code."""
    parser = CommandLine(__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--builds", nargs="+", choices=BUILDS, default=list(BUILDS))
    parser.add_argument("--images-per-chip", type=int, default=256, help="of a step")
    parser.add_argument(
        "--transforms", action="store_true", help="of the transform and the augmentations"
    )
    options = parser.parse_args(argv)

    # The chips are only described: ask no metadata server for them, and run nothing.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    jax.config.update("jax_platforms", "cpu")
    devices = topologies.get_topology_desc(platform="tpu", topology_name=TOPOLOGY).devices
    if options.transforms:
        measure_transforms(devices[0], options.images_per_chip)
        return 0
    print(
        f"A step on {len(devices)} TPU v5e chips, {options.images_per_chip} images of "
        f"{SIZE}x{SIZE} a chip, bfloat16; the figures are for one chip.\n"
    )
    costs: dict[tuple[str, str], Cost] = {}

    def rows() -> Iterator[list[object]]:
        for network in options.networks:
            for build in options.builds:
                cost = compile_step(network, build, devices, options.images_per_chip)
                costs[network, build] = cost
                yield [
                    *(network, build, f"{cost.flops / 1e9:.0f}", cost.bytes_accessed / 1e9),
                    *(cost.peak_bytes / 1e9, cost.collectives, cost.collective_bytes / 1e6),
                    f"{cost.seconds:.0f}",
                ]

    columns = ["GFLOP", "GB accessed", "peak GB", "collectives", "MB", "compiled in s"]
    print_table(["network", "build", *columns], rows())
    print(
        "\nMB that each chip sends in a step, with the same number of images a chip: calculated as "
        f"2 (n - 1) / n times the collectives' bytes of the program for {len(devices)} chips.\n"
    )
    sent = (
        [*job, *(f"{ring_bytes(cost.collective_bytes, chips) / 1e6:.1f}" for chips in CHIPS)]
        for job, cost in costs.items()
    )
    headings = (f"{chips} chip{'' if chips == 1 else 's'}" for chips in CHIPS)
    print_table(["network", "build", *headings], sent)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return exit_code(lambda: work(argv))


if __name__ == "__main__":
    raise SystemExit(main())
