"""What a run has recorded, beside its state: all that a checkpoint holds and a log shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np

from ..training.plateau import PlateauState, ReduceLROnPlateau


class History(NamedTuple):
    """What a run recorded.

    Attributes:
        minibatch_losses: one a step, in nats.
        train_accuracy: one an epoch, in %.
        valid_accuracy: one an epoch, in %.
    """

    minibatch_losses: list[float]
    train_accuracy: list[float]
    valid_accuracy: list[float]


@dataclass
class RunRecord:
    """A run so far.

    Attributes:
        plateau: the controller's state.
        history: losses and accuracies.
        learning_rates: of the controller during each finished epoch.
        epoch_seconds: ``seconds`` at the end of each finished epoch.
        best_epoch: the first with the highest validation accuracy, from 1; 0 before there is one.
        best_step: optimizer steps done then.
        seconds: of training and evaluation, over all parts of the run.
        factors: of the schedule, one for each step of the whole run; None is without one.
    """

    plateau: PlateauState
    history: History = field(default_factory=lambda: History([], [], []))
    learning_rates: list[float] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)
    best_epoch: int = 0
    best_step: int = 0
    seconds: float = 0.0
    factors: np.ndarray | None = None

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return len(self.history.minibatch_losses)

    @property
    def epoch(self) -> int:
        """Epochs finished, their evaluation included."""
        return len(self.history.valid_accuracy)

    @property
    def controlled_rate(self) -> float:
        """The controller's learning rate now, which a schedule may multiply."""
        return float(self.plateau.learning_rate)

    def learning_rate(self, step: int, steps_per_epoch: int) -> float:
        """In force at a step (from 1), which may be the next one."""
        epoch = (step - 1) // steps_per_epoch
        rate = self.learning_rates[epoch] if epoch < self.epoch else self.controlled_rate
        return rate if self.factors is None else rate * float(self.factors[step - 1])

    def last_learning_rates(self, steps_per_epoch: int) -> list[float]:
        """In force at the last step of each finished epoch."""
        ends = range(1, self.epoch + 1)
        return [self.learning_rate(end * steps_per_epoch, steps_per_epoch) for end in ends]

    def end_epoch(self, train: float, valid: float) -> None:
        """Records the accuracies (%) after an epoch's last step."""
        if valid > max(self.history.valid_accuracy, default=-math.inf):
            self.best_epoch, self.best_step = self.epoch + 1, self.step
        self.history.train_accuracy.append(train)
        self.history.valid_accuracy.append(valid)
        self.learning_rates.append(self.controlled_rate)
        self.epoch_seconds.append(self.seconds)

    def step_event(self, step: int, steps_per_epoch: int) -> dict[str, Any]:
        """What the log says of a step (from 1)."""
        return {
            "event": "step",
            "step": step,
            "epoch": (step - 1) // steps_per_epoch + 1,
            "loss": self.history.minibatch_losses[step - 1],
            "learning_rate": self.learning_rate(step, steps_per_epoch),
        }

    def epoch_event(self, epoch: int, steps_per_epoch: int) -> dict[str, Any]:
        """What the log says of a finished epoch (from 1)."""
        return {
            "event": "epoch",
            "step": epoch * steps_per_epoch,
            "epoch": epoch,
            "train_accuracy": self.history.train_accuracy[epoch - 1],
            "valid_accuracy": self.history.valid_accuracy[epoch - 1],
            "learning_rate": self.learning_rate(epoch * steps_per_epoch, steps_per_epoch),
            "seconds": self.epoch_seconds[epoch - 1],
        }

    def events(self, steps_per_epoch: int) -> Iterator[dict[str, Any]]:
        """The whole log."""
        for step in range(1, self.step + 1):
            yield self.step_event(step, steps_per_epoch)
            epoch, rest = divmod(step, steps_per_epoch)
            if rest == 0 and epoch <= self.epoch:
                yield self.epoch_event(epoch, steps_per_epoch)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, exactly."""
        plateau = {name: leaf.item() for name, leaf in vars(self.plateau).items()}
        if not math.isfinite(plateau["best"]):
            plateau["best"] = None
        return {
            "step": self.step,
            "epoch": self.epoch,
            "plateau": plateau,
            "history": self.history._asdict(),
            "learning_rates": self.learning_rates,
            "epoch_seconds": self.epoch_seconds,
            "best_epoch": self.best_epoch,
            "best_step": self.best_step,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(
        cls,
        values: Mapping[str, Any],
        controller: ReduceLROnPlateau,
        steps_per_epoch: int,
        *,
        factors: np.ndarray | None = None,
    ) -> RunRecord:
        """The record of which ``values`` are the JSON, and ``factors`` the schedule's.

        Raises:
            ValueError: if they are of no run with such epochs.
        """
        try:
            saved = values["plateau"]
            with jax.enable_x64(True):
                plateau = controller.init(float(saved["learning_rate"]))
                fields = {
                    name: np.asarray(value, dtype=getattr(plateau, name).dtype).reshape(())
                    for name, value in saved.items()
                    if value is not None
                }
            record = cls(
                plateau=plateau.replace(**fields),  # type: ignore[attr-defined]
                history=History(**{key: _floats(v) for key, v in values["history"].items()}),
                learning_rates=_floats(values["learning_rates"]),
                epoch_seconds=_floats(values["epoch_seconds"]),
                best_epoch=int(values["best_epoch"]),
                best_step=int(values["best_step"]),
                seconds=float(values["seconds"]),
                factors=factors,
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"it is not the record of a run: {error}") from error
        per_epoch = (record.history.train_accuracy, record.learning_rates, record.epoch_seconds)
        # An epoch whose last step is done may still wait for its evaluation.
        begun = record.step - record.epoch * steps_per_epoch
        if any(len(numbers) != record.epoch for numbers in per_epoch) or not (
            0 <= begun <= steps_per_epoch
        ):
            raise ValueError(
                f"{record.step} losses and {record.epoch} accuracies do not go together at "
                f"{steps_per_epoch} steps an epoch"
            )
        return record


def _floats(values: Any) -> list[float]:
    return [float(value) for value in values]
