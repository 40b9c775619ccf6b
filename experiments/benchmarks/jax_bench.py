"""The sides in JAX: training step, forward pass, epoch and transform, ours or plain Flax's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from resnet_jax.data import Arrays
from resnet_jax.models import create_model
from resnet_jax.storage import one_line
from resnet_jax.training import Batch, Engine, create_state, make_optimizer, make_train_step

from . import epoch, input_pipeline
from .bench import ALLOCATOR, COMPILED, Bench, Loop
from .flax_side import PlainResNet


def facts() -> dict[str, Any]:
    """Return what JAX computes on: the platform, the name of the chip and how many there are."""
    devices = jax.devices()
    return {
        "platform": devices[0].platform,
        "chip": devices[0].device_kind,
        "count": len(devices),
        "runtime": one_line(devices[0].client.platform_version),
        "compile_cache": jax.config.jax_compilation_cache_dir,  # type: ignore[attr-defined]
    }


def make_network(variant: str, *, plain: bool, dtype: str, classes: int) -> nn.Module:
    """Make a network, ours or the plain one.

    Args:
        variant: A name in `VARIANTS`.
        plain: Whether it is plain Flax's.
        dtype: The type of the computation; parameters are in float32.
        classes: The number of classes.
    """
    kind = None if dtype == "float32" else jnp.dtype(dtype)
    if plain:
        return PlainResNet(variant, kind, classes)
    return create_model(variant, classes, dtype=kind)


class JaxBench(Bench):
    """A side in JAX, on the first device."""

    def __init__(self) -> None:
        self.device = jax.devices()[0]
        self.programs: dict[str, Any] = {}
        super().__init__()

    def measure_peak(self, job: str, loop: Loop) -> tuple[int, str]:
        """Return a job's peak memory; the allocator's includes what compilation took."""
        stats = self.device.memory_stats() or {}
        if "peak_bytes_in_use" in stats:
            loop(1)
            return self.device.memory_stats()["peak_bytes_in_use"], ALLOCATOR
        # Where the system tells it.
        if self.device.platform == "cpu" and self.before:
            return super().measure_peak(job, loop)
        return self.compiled_bytes(job) or 0, COMPILED

    def compiled_bytes(self, job: str) -> int | None:
        """Return arguments, results and temporary arrays of a job's program, in bytes."""
        program = self.programs.get(job)
        sizes = None if program is None else program.memory_analysis()
        if sizes is None:
            return None
        return (
            sizes.argument_size_in_bytes
            + sizes.output_size_in_bytes
            + sizes.temp_size_in_bytes
            - sizes.alias_size_in_bytes
        )

    def compiled(self, job: str, function: Any, *arguments: Any) -> Any:
        """Return the program of a jitted function, compiled at the first call."""
        if job not in self.programs:
            self.programs[job] = function.lower(*arguments).compile()
        return self.programs[job]


class JaxSteps(JaxBench):
    """Training step and forward pass on random images.

    Args:
        variant: A name in `VARIANTS`.
        plain: Whether the network is plain Flax's, and the optimizer optax's.
        batch: Images.
        size: Side of an image, in pixels.
        dtype: The type of the computation.
        classes: The number of classes.
    """

    def __init__(
        self,
        *,
        variant: str,
        plain: bool,
        batch: int,
        size: int,
        dtype: str = "float32",
        classes: int = 10,
    ) -> None:
        super().__init__()
        self._model = make_network(variant, plain=plain, dtype=dtype, classes=classes)
        self._tx = optax.sgd(0.01, momentum=0.9) if plain else make_optimizer(0.01)
        self._engine = Engine.create("jit", devices=[self.device])
        rng = np.random.default_rng(0)
        pixels = rng.standard_normal((batch, size, size, 3), dtype=np.float32)
        labels = rng.integers(0, classes, batch).astype(np.int32)
        self._batch = self._engine.place(Batch(pixels, labels))

    def make(self, job: str) -> Loop:
        """Make the loop of the job `"train step"` or `"forward"`."""
        shape = (1, *self._batch.images.shape[1:])
        state = create_state(self._model, self._tx, jax.random.key(0), shape)
        return self._train(state) if job == "train step" else self._forward(state.variables)

    def _forward(self, variables: Any) -> Loop:
        images = jax.device_put(self._batch.images, self.device)
        variables = jax.device_put(variables, self.device)
        function = jax.jit(self._model.apply)

        def loop(count: int) -> None:
            program = self.compiled("forward", function, variables, images)
            for _ in range(count):
                logits = program(variables, images)
            jax.block_until_ready(logits)

        return loop

    def _train(self, state: Any) -> Loop:
        step = make_train_step(self._model, self._tx, engine=self._engine)
        key = self._engine.share(jax.random.key(1))
        state = self._engine.replicate(state)

        def loop(count: int) -> None:
            nonlocal state
            program = self.compiled("train step", step, state, self._batch, key)
            for _ in range(count):
                state, metrics = program(state, self._batch, key)
            jax.block_until_ready((state, metrics))

        return loop


class JaxEpoch(JaxBench):
    """An epoch of training on random images that are whole on the device.

    Args:
        variant: A name in `VARIANTS`.
        plain: Whether the network is plain Flax's.
        images: The number of images, of `input_pipeline.SOURCE` pixels.
        batch: Images a step.
        dtype: The type of the computation.
    """

    def __init__(self, *, variant: str, plain: bool, images: int, batch: int, dtype: str) -> None:
        super().__init__()
        self._model = make_network(variant, plain=plain, dtype=dtype, classes=10)
        self._images, self._batch = images, batch

    def make(self, job: str) -> Loop:
        """Make the loop of the only job."""
        del job
        labels = np.random.default_rng(0).integers(0, 10, self._images).astype(np.int32)
        train = Arrays(input_pipeline.random_images(self._images), labels)
        run = epoch.resident_epoch(
            self._model, train, mean=input_pipeline.MEAN, std=input_pipeline.STD, batch=self._batch
        )
        return repeat(run)


class JaxTransform(JaxBench):
    """Our random crops, compiled for the device.

    Args:
        batch: Images.
    """

    def __init__(self, *, batch: int) -> None:
        super().__init__()
        self._images = jax.device_put(input_pipeline.random_images(batch))

    def make(self, job: str) -> Loop:
        """Make the loop of the only job."""
        function, key = jax.jit(input_pipeline.our_transform().random), jax.random.key(0)

        def loop(count: int) -> None:
            program = self.compiled(job, function, self._images, key)
            for _ in range(count):
                images = program(self._images, key)
            jax.block_until_ready(images)

        return loop


def repeat(run: Callable[[], Any]) -> Loop:
    """Return the loop of a run that waits for its result."""

    def loop(count: int) -> None:
        for _ in range(count):
            run()

    return loop


def step_jobs(*, jobs: tuple[str, ...], **arguments: Any) -> dict[str, Callable[[], Any]]:
    """Build jobs of `JaxSteps` for `compare`.

    Args:
        jobs: Their names.
        **arguments: Arguments of `JaxSteps`.
    """
    steps = JaxSteps(**arguments)
    return {job: partial(steps.make(job), 1) for job in jobs}
