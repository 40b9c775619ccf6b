"""The options of the training itself, and what each group of them makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from resnet_jax.training import (
    OPTIMIZERS,
    LossFunction,
    ReduceLROnPlateau,
    Schedule,
    cross_entropy,
    make_optimizer,
)

from .flat import MayChange

if TYPE_CHECKING:
    import optax

    OptimizerName = str
else:
    # The rows of the table, so that a new one needs no edit here.
    OptimizerName = Literal[tuple(OPTIMIZERS)]

ANNEALED = ("cosine", "onecycle", "multistep")
"""Schedules that go by the share of the epochs that is done."""


def is_not_annealed(values: Mapping[str, Any]) -> bool:
    """Return whether nothing up to now depends on the number of epochs: no rate and no size."""
    return values["schedule"] not in ANNEALED and not values["progressive"]


@dataclass(frozen=True)
class TrainingOptions:
    """The training."""

    epochs: Annotated[int, MayChange(when=is_not_annealed)] = 50
    """Passes over the training images."""
    batch_size: int = 256
    """Images per step, over all devices."""
    accumulate_steps: int = 1
    """Micro-batches per step, to save memory; BatchNorm normalises each by itself."""
    label_smoothing: float = 0.0
    """Part of each training label that is spread over all classes."""
    ema_decay: float = 0.0
    """Decay of the moving averages of parameters and statistics that are evaluated; 0: none."""
    seed: int = 123
    """Seed of the split, the initialisation, the shuffling, the crops and the augmentations."""

    def check(self) -> None:
        """Raise a `ValueError` for a label smoothing out of range; `FitConfig` checks the rest."""
        if not 0.0 <= self.label_smoothing < 1.0:
            raise ValueError(
                f"`label_smoothing` (={self.label_smoothing}) must be at least 0 and below 1"
            )

    def build(self) -> LossFunction:
        """Make the loss function."""
        return partial(cross_entropy, label_smoothing=self.label_smoothing)


@dataclass(frozen=True)
class OptimizerOptions:
    """The optimizer."""

    optimizer: OptimizerName = "sgd"
    """Rule that updates the parameters."""
    lr: float | None = 0.1
    """Initial learning rate; the highest one, where the schedule warms up. None follows the batch:
    0.1 for each 256 of batch_size."""
    momentum: float = 0.9
    """Decay of the average of gradients; beta1 of Adam's relatives."""
    nesterov: bool = False
    """Nesterov's momentum, for SGD."""
    beta2: float | None = None
    """Decay of the average of squared gradients, for Adam's relatives; None is the optimizer's."""
    weight_decay: float = 0.0
    """Weight decay of the kernels; biases and normalisations have none."""

    def settled(self, batch_size: int) -> OptimizerOptions:
        """Return the same options with a learning rate.

        Args:
            batch_size: images per step.

        References:
            Goyal et al. 2017, https://arxiv.org/abs/1706.02677 (the linear scaling rule)
        """
        return self if self.lr is not None else replace(self, lr=0.1 * batch_size / 256)

    def build(
        self,
        factors: Mapping[str, float] | None = None,
        stage_of: Callable[[str], str] | None = None,
    ) -> optax.GradientTransformation:
        """Make the optimizer; the learning rate is settled.

        Args:
            factors: factor of the learning rate by the name of the stage; None has one rate.
            stage_of: function from a top-level name in the parameters to its stage.

        Raises:
            ValueError: for a value out of range or an option that the optimizer does not have.
        """
        if self.lr is None:
            raise ValueError("`lr` (=None) must be settled first, by the size of the batch")
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise ValueError(f"`lr` (={self.lr}) must be finite and above 0")
        return make_optimizer(
            self.lr,
            self.momentum,
            name=self.optimizer,
            weight_decay=self.weight_decay,
            decay_kernels_only=True,
            nesterov=self.nesterov,
            beta2=self.beta2,
            factors=factors,
            stage_of=stage_of,
        )


@dataclass(frozen=True)
class ScheduleOptions:
    """The learning rate over the training."""

    schedule: Literal["plateau", "constant", "cosine", "onecycle", "multistep"] = "plateau"
    """Reduced on a plateau, constant, annealed to the last epoch, or reduced at milestones."""
    warmup_epochs: float = 0.0
    """Epochs in which the learning rate first rises to lr; the rising part of onecycle."""
    scheduler_on: Literal["valid_acc", "minibatch_loss"] = "valid_acc"
    """What the plateau controller watches: validation accuracy or the last minibatch loss."""
    milestones: tuple[float, ...] = (0.5, 0.75)
    """Shares of the epochs after which multistep multiplies the learning rate by gamma."""
    gamma: float = 0.1
    """Factor at each milestone of multistep."""

    def check(self, epochs: int) -> None:
        """Raise a `ValueError` for options that do not go together.

        Args:
            epochs: epochs of the training.
        """
        if self.schedule != "plateau" and self.scheduler_on != ScheduleOptions.scheduler_on:
            raise ValueError(
                f"`scheduler_on` (={self.scheduler_on!r}) is for `schedule` plateau; leave it out "
                f"with {self.schedule}"
            )
        for name in ("milestones", "gamma"):
            value = getattr(self, name)
            if self.schedule != "multistep" and value != getattr(ScheduleOptions, name):
                raise ValueError(
                    f"`{name}` (={value}) is for `schedule` multistep; leave it out with "
                    f"{self.schedule}"
                )
        # Raises for milestones or a factor out of range.
        Schedule("multistep", 1, milestones=self.milestones, gamma=self.gamma)
        if not 0.0 <= self.warmup_epochs < max(epochs, 1):
            raise ValueError(
                f"`warmup_epochs` (={self.warmup_epochs}) must be at least 0 and below `epochs` "
                f"(={epochs})"
            )
        if self.schedule == "onecycle" and self.warmup_epochs == 0.0:
            raise ValueError(
                "`warmup_epochs` (=0.0) must be above 0 with `schedule` onecycle; try a third of "
                f"`epochs` (={epochs})"
            )

    def build(self, epochs: int, steps: int) -> Schedule | None:
        """Make what multiplies the learning rate; None if nothing does.

        Args:
            epochs: epochs of the training.
            steps: steps per epoch.
        """
        warmup_steps = round(self.warmup_epochs * steps)
        if self.schedule != "plateau" and self.schedule != "constant":
            return Schedule(
                self.schedule, epochs * steps, warmup_steps, self.milestones, self.gamma
            )
        # After the warm-up nothing depends on the number of epochs.
        return Schedule("constant", warmup_steps + 1, warmup_steps) if warmup_steps else None

    def build_controller(self, *, inverted: bool = False) -> ReduceLROnPlateau | None:
        """Make what reduces the learning rate on a plateau; None if nothing does.

        Args:
            inverted: wait for the loss to rise, as the reference does by mistake.
        """
        if self.schedule != "plateau":
            return None
        falling = self.scheduler_on == "minibatch_loss" and not inverted
        return ReduceLROnPlateau(mode="min" if falling else "max")
