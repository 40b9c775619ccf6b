"""How `fit` trains."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from ..training import Parallel, ReduceDtype, check_decay

SchedulerOn = Literal["valid_acc", "minibatch_loss"]
TrainAccuracy = Literal["full", "running", "none"]
"""What the training accuracy of an epoch is taken over; see `FitConfig`."""

_COUNTS = ("epochs", "batch_size", "eval_batch_size", "accumulate_steps", "log_every")


@dataclass(frozen=True)
class FitConfig:
    """How to train.

    NumPy's and JAX's scalars, such as a sweep gives, are kept as Python's numbers.

    Attributes:
        epochs: passes over the training data.
        batch_size: images per step, over all devices.
        eval_batch_size: images per evaluation step; changes nothing but speed and memory.
        seed: seed of the initialisation, the shuffling and the transforms.
        scheduler_on: what the plateau controller watches: the validation accuracy (%), or the
            epoch's last minibatch loss.
        evaluate_as_trained: evaluate the training accuracy on the loader's full batches with
            random crops, as the reference does, instead of on all images with the evaluation's
            transform.
        train_accuracy: what the training accuracy of an epoch is taken over: `"full"`, all training
            images after the epoch, as the validation accuracy is; `"running"`, the images of the
            epoch's steps as each step prepared them, with the parameters before it and in training
            mode, which needs no further pass over the images; `"none"` leaves it out.
        ema_decay: decay of the moving averages of parameters and statistics, which are evaluated
            instead of the parameters and statistics themselves; 0 keeps no averages.
        accumulate_steps: micro-batches per step, to save memory; see `train_step`.
        resident_gigabytes: data up to this size (of all images, in 10⁹ bytes) are kept whole on
            every device; larger data stay in the host's memory and are streamed, to the same
            numbers.
        log_every: steps between two printed lines.
        checkpoint_every: steps between two checkpoints inside an epoch; 0 saves only at its end.
        checkpoint_minutes: minutes between two checkpoints inside an epoch; 0 ignores the clock.
        parallel: how to use several devices.
        reduce_dtype: how devices sum their gradients; see `make_train_step`.

    Raises:
        ValueError: on construction, for a value out of range.
    """

    epochs: int = 50
    batch_size: int = 256
    eval_batch_size: int = 256
    seed: int = 123
    scheduler_on: SchedulerOn = "valid_acc"
    evaluate_as_trained: bool = False
    train_accuracy: TrainAccuracy = "full"
    ema_decay: float = 0.0
    accumulate_steps: int = 1
    resident_gigabytes: float = 2.0
    log_every: int = 100
    checkpoint_every: int = 0
    checkpoint_minutes: float = 0.0
    parallel: Parallel = "auto"
    reduce_dtype: ReduceDtype = "float32"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = _plain(field.name, getattr(self, field.name))
            if isinstance(field.default, float | int) and not isinstance(value, float | int):
                raise ValueError(f"`{field.name}` (={value!r}) must be a number")
            object.__setattr__(self, field.name, value)
        if self.evaluate_as_trained not in (True, False):
            raise ValueError(
                f"`evaluate_as_trained` (={self.evaluate_as_trained}) must be True or False"
            )
        for name in ("resident_gigabytes", "checkpoint_every", "checkpoint_minutes"):
            if not (getattr(self, name) >= 0 and math.isfinite(getattr(self, name))):
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be finite and at least 0")
        for name in (*_COUNTS, "seed", "checkpoint_every"):
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"`seed` (={self.seed}) must be in [0, 2**32)")
        check_decay(self.ema_decay)
        for name, choices in (
            ("scheduler_on", SchedulerOn),
            ("train_accuracy", TrainAccuracy),
            ("parallel", Parallel),
            ("reduce_dtype", ReduceDtype),
        ):
            allowed = get_args(choices)
            if getattr(self, name) not in allowed:
                names = f"{', '.join(map(repr, allowed[:-1]))} or {allowed[-1]!r}"
                raise ValueError(f"`{name}` (={getattr(self, name)!r}) must be {names}")
        if self.evaluate_as_trained and self.train_accuracy != "full":
            raise ValueError(
                f"`train_accuracy` (={self.train_accuracy!r}) must be 'full' with "
                "`evaluate_as_trained`, which says how that is taken"
            )


def _plain(name: str, value: Any) -> Any:
    """Return a scalar of NumPy or JAX as Python's, and other values as they are."""
    if np.shape(value):
        raise ValueError(f"`{name}` must be one value, not an array of shape {np.shape(value)}")
    return value.item() if hasattr(value, "item") else value


def _whole(name: str, value: Any) -> int:
    """Return a number without a fraction as an int."""
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"`{name}` (={value}) must be a whole number")
    return int(value)
