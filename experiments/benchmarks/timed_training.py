"""A training on one device by whole epochs, each of which is one program, and what it takes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from resnet_jax.data import Arrays, Dataset
from resnet_jax.run import NonFiniteLossError, Task, steps_per_epoch
from resnet_jax.training import (
    Engine,
    EvalPlan,
    Examples,
    TrainState,
    create_state,
    eval_order,
    make_eval_epoch,
    make_train_epoch,
    zero_totals,
)

from ..recipe import Recipe
from .flops import forward_flops


class TimedEpoch(NamedTuple):
    """What an epoch took, and what came of it.

    Attributes:
        epoch: counted from 1.
        side: height and width of the training images, in pixels.
        seconds: time of the training.
        eval_seconds: time of the evaluation after it.
        loss: mean training loss over the steps, in nats.
        accuracy: of the test images, in percent.
    """

    epoch: int
    side: int
    seconds: float
    eval_seconds: float
    loss: float
    accuracy: float


@dataclass(frozen=True)
class TimedTraining:
    """A training whose data are on the device and whose programs are compiled.

    Attributes:
        device: where it runs.
        images_per_epoch: training images that an epoch takes: all but a ragged tail.
        sides: height and width of the training images of each epoch, in pixels.
        parameters: number of trained parameters.
        flops_per_image: operations of a training step for an image, by its side in pixels.
        compile_seconds: time that each program took to compile, by its name.
    """

    device: jax.Device
    images_per_epoch: int
    sides: tuple[int, ...]
    parameters: int
    flops_per_image: dict[int, int]
    compile_seconds: dict[str, float]
    _engine: Engine
    _fresh: TrainState
    _programs: dict[int, Any]
    _evaluation: Any

    @classmethod
    def create(cls, recipe: Recipe, dataset: Dataset, train: Arrays) -> TimedTraining:
        """Put the data on the first device, and compile all programs.

        Args:
            recipe: what to train; all options are settled.
            dataset: its classes and statistics, and the test images.
            train: all images to train on.

        Raises:
            ValueError: if there is not one full batch.
        """
        device = jax.devices()[0]
        engine = Engine.create("jit", devices=[device])
        model, tx = recipe.model.build(len(dataset.class_names)), recipe.optimizer.build()
        task = recipe.build_task(dataset, train=train, valid=dataset.test, model=model, tx=tx)
        options, settings = recipe.training, recipe.check()
        steps = steps_per_epoch(len(train), options.batch_size)
        # The streams of `fit`, whose numbers these are.
        root = jax.random.key(options.seed)
        init_key, *keys = (jax.random.fold_in(root, at) for at in range(4))
        shuffle_key, step_key, eval_key = map(engine.share, keys)
        shape, ema = (1, *train.images.shape[1:]), options.ema_decay > 0
        fresh = create_state(model, tx, init_key, shape, ema=ema)
        state, data = engine.replicate(fresh), engine.place(Examples(train.images, train.labels))
        seconds, programs = {}, {}
        for side, prepare in zip(recipe.images.sides, task.prepares, strict=True):
            epoch: Any = make_train_epoch(
                model,
                tx,
                batch_size=options.batch_size,
                engine=engine,
                loss_fn=task.loss_fn,
                prepare=prepare,
                schedule=task.schedule,
                ema_decay=options.ema_decay,
                accumulate_steps=options.accumulate_steps,
            )
            arguments = (data, (shuffle_key, step_key))
            program, seconds[f"training at {side} px"] = _compiled(epoch, state, *arguments)
            programs[side] = partial(_with, program, arguments)
        test = dataset.test
        order = eval_order(len(test), settings.eval_batch_size)
        plan = engine.place(EvalPlan(test.images, test.labels, *order))
        evaluate: Any = make_eval_epoch(
            recipe.evaluation.build(model), engine=engine, prepare=task.prepare_valid
        )
        batches = (plan, engine.replicate(zero_totals()), eval_key)
        program, seconds["evaluation"] = _compiled(evaluate, state.variables, *batches)
        return cls(
            device=device,
            images_per_epoch=steps * options.batch_size,
            sides=_sides(task, recipe.images.sides, options.epochs),
            parameters=sum(leaf.size for leaf in jax.tree.leaves(fresh.params)),
            flops_per_image={
                side: 3 * forward_flops(model, fresh.variables, (side, side, shape[-1]))
                for side in recipe.images.sides
            },
            compile_seconds=seconds,
            _engine=engine,
            _fresh=fresh,
            _programs=programs,
            _evaluation=partial(_with, program, batches),
        )

    def rehearse(self) -> None:
        """Run every program once, because the first run of a program may be slower."""
        for program in self._programs.values():
            state, _ = program(self._engine.replicate(self._fresh))
            jax.block_until_ready(self._evaluation(state.variables))

    def run(self) -> Iterator[TimedEpoch]:
        """Train from the beginning, and yield each epoch when it is evaluated.

        Raises:
            NonFiniteLossError: if the loss becomes NaN or infinite.
        """
        state = jax.block_until_ready(self._engine.replicate(self._fresh))
        for number, side in enumerate(self.sides, 1):
            start = time.perf_counter()
            state, metrics = jax.block_until_ready(self._programs[side](state))
            trained = time.perf_counter()
            totals = jax.block_until_ready(self._evaluation(state.variables))
            evaluated = time.perf_counter()
            loss = float(np.mean(jax.device_get(metrics["loss"])))
            if not math.isfinite(loss):
                raise NonFiniteLossError(
                    f"the loss of epoch {number} is {loss}; try a lower learning rate"
                )
            accuracy = 100.0 * int(totals.correct) / int(totals.count)
            yield TimedEpoch(number, side, trained - start, evaluated - trained, loss, accuracy)


def _compiled(function: Any, *arguments: Any) -> tuple[Any, float]:
    """Compile a function ahead of time; return the program, and the seconds that it took."""
    start = time.perf_counter()
    program = function.lower(*arguments).compile()
    return program, time.perf_counter() - start


def _with(program: Any, arguments: tuple[Any, ...], first: Any) -> Any:
    """Call a program with its first argument and those that stay the same."""
    return program(first, *arguments)


def _sides(task: Task, sides: tuple[int, ...], epochs: int) -> tuple[int, ...]:
    """Return the height and width of the training images of each epoch, in pixels."""
    begun = [
        sum(phase.first_epoch <= epoch for phase in task.phases) or 1 for epoch in range(epochs)
    ]
    return tuple(sides[number - 1] for number in begun)
