"""What a run has recorded so far, beside its state: what a checkpoint holds and a log shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..training import PlateauState, ReduceLROnPlateau
from .clock import PARTS


class History(NamedTuple):
    """What a run recorded.

    Attributes:
        minibatch_losses: one a step, in nats.
        train_accuracy: one an epoch, in %; empty if the run takes none.
        valid_accuracy: one an epoch, in %.
    """

    minibatch_losses: list[float]
    train_accuracy: list[float]
    valid_accuracy: list[float]


@dataclass
class RunRecord:
    """A run so far.

    Attributes:
        steps_per_epoch: optimizer steps in an epoch.
        plateau: the controller's state; None where nothing controls the learning rate.
        history: losses and accuracies.
        learning_rates: the rate that each step used.
        epoch_seconds: `seconds` at the end of each finished epoch.
        image_sizes: side of the training images of each finished epoch, in pixels; empty in a run
            in which it never changes.
        best_epoch: the first with the highest validation accuracy, from 1; 0 before there is one.
        best_step: optimizer steps done then.
        running_correct: images of the epoch's steps so far that were classified rightly.
        seconds: time of training and evaluation, over all parts of the run.
        epoch_parts: what the seconds of each finished epoch were spent on, by the names of
            `clock.PARTS`; empty for an epoch of an older version, which did not measure it.
        parts: likewise, of the epoch's time so far.
    """

    steps_per_epoch: int
    plateau: PlateauState | None = None
    history: History = field(default_factory=lambda: History([], [], []))
    learning_rates: list[float] = field(default_factory=list)
    epoch_seconds: list[float] = field(default_factory=list)
    image_sizes: list[int] = field(default_factory=list)
    best_epoch: int = 0
    best_step: int = 0
    running_correct: int = 0
    seconds: float = 0.0
    epoch_parts: list[dict[str, float]] = field(default_factory=list)
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return len(self.history.minibatch_losses)

    @property
    def epoch(self) -> int:
        """Epochs finished, their evaluation included."""
        return len(self.history.valid_accuracy)

    @property
    def epoch_learning_rates(self) -> list[float]:
        """The rate that the last step of each finished epoch used."""
        return self.learning_rates[self.steps_per_epoch - 1 :: self.steps_per_epoch][: self.epoch]

    def place(self, step: int) -> str:
        """Say where a step is in its epoch, for messages.

        Args:
            step: counted from 1.
        """
        epoch, batch = divmod(step - 1, self.steps_per_epoch)
        return f"step {step} (epoch {epoch + 1}, batch {batch + 1} of {self.steps_per_epoch})"

    def add_step(self, loss: float, learning_rate: float, correct: int = 0) -> dict[str, Any]:
        """Record a step, and return its event.

        Args:
            loss: of the batch, in nats.
            learning_rate: that the step used.
            correct: images of the batch that were classified rightly; 0 where nobody counts them.
        """
        if self.step % self.steps_per_epoch == 0:
            self.running_correct = 0
        self.running_correct += correct
        self.history.minibatch_losses.append(loss)
        self.learning_rates.append(learning_rate)
        return self._step_event(self.step)

    def add_epoch(
        self,
        train: float | None,
        valid: float,
        side: int | None = None,
        *,
        parts: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Record the accuracies (%) after an epoch's last step, and return the event.

        Args:
            train: of the training images; None in every epoch of a run that takes none.
            valid: of the validation images.
            side: of the epoch's training images, in pixels; None in every epoch of a run in which
                it never changes.
            parts: what its seconds were spent on, by the names of `clock.PARTS`.
        """
        if valid > max(self.history.valid_accuracy, default=-math.inf):
            self.best_epoch, self.best_step = self.epoch + 1, self.step
        if train is not None:
            self.history.train_accuracy.append(train)
        if side is not None:
            self.image_sizes.append(side)
        self.history.valid_accuracy.append(valid)
        self.epoch_seconds.append(self.seconds)
        self.epoch_parts.append(dict(parts or {}))
        self.parts = {}
        return self._epoch_event(self.epoch)

    def _step_event(self, step: int) -> dict[str, Any]:
        return {
            "event": "step",
            "step": step,
            "epoch": (step - 1) // self.steps_per_epoch + 1,
            "loss": self.history.minibatch_losses[step - 1],
            "learning_rate": self.learning_rates[step - 1],
        }

    def _epoch_event(self, epoch: int) -> dict[str, Any]:
        event = {
            "event": "epoch",
            "step": epoch * self.steps_per_epoch,
            "epoch": epoch,
            "valid_accuracy": self.history.valid_accuracy[epoch - 1],
            "learning_rate": self.learning_rates[epoch * self.steps_per_epoch - 1],
            "seconds": self.epoch_seconds[epoch - 1],
        }
        if self.history.train_accuracy:
            event["train_accuracy"] = self.history.train_accuracy[epoch - 1]
        if self.image_sizes:
            event["image_size"] = self.image_sizes[epoch - 1]
        parts = self.epoch_parts[epoch - 1]
        return event | {f"{name}_seconds": seconds for name, seconds in parts.items()}

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the whole log."""
        for step in range(1, self.step + 1):
            yield self._step_event(step)
            epoch, rest = divmod(step, self.steps_per_epoch)
            if rest == 0 and epoch <= self.epoch:
                yield self._epoch_event(epoch)

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values, exactly."""
        plateau = None
        if self.plateau is not None:
            plateau = {name: np.asarray(leaf).item() for name, leaf in vars(self.plateau).items()}
            if not math.isfinite(plateau["best"]):
                plateau["best"] = None
        return {
            "step": self.step,
            "epoch": self.epoch,
            "plateau": plateau,
            "history": self.history._asdict(),
            "learning_rates": self.learning_rates,
            "epoch_seconds": self.epoch_seconds,
            "image_sizes": self.image_sizes,
            "best_epoch": self.best_epoch,
            "best_step": self.best_step,
            "running_correct": self.running_correct,
            "seconds": self.seconds,
            "epoch_parts": self.epoch_parts,
            "parts": self.parts,
        }

    @classmethod
    def from_json(
        cls, values: Mapping[str, Any], controller: ReduceLROnPlateau | None, steps_per_epoch: int
    ) -> RunRecord:
        """Return the record that `values` are the JSON of.

        Args:
            values: of `to_json`.
            controller: of the run, if it has one.
            steps_per_epoch: of the run.

        Raises:
            ValueError: if they are not of a run with such epochs.
        """
        try:
            record = cls(
                steps_per_epoch,
                plateau=None if controller is None else _plateau(values["plateau"], controller),
                history=History(**{key: _floats(v) for key, v in values["history"].items()}),
                learning_rates=_floats(values["learning_rates"]),
                epoch_seconds=_floats(values["epoch_seconds"]),
                # Older runs had one size.
                image_sizes=[int(side) for side in values.get("image_sizes", ())],
                best_epoch=int(values["best_epoch"]),
                best_step=int(values["best_step"]),
                # Older runs did not count.
                running_correct=int(values.get("running_correct", 0)),
                seconds=float(values["seconds"]),
                # Older runs did not measure them.
                epoch_parts=[
                    _parts(parts)
                    for parts in values.get("epoch_parts", [{}] * len(values["epoch_seconds"]))
                ],
                parts=_parts(values.get("parts", {})),
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"it is not the record of a run: {error}") from error
        # An epoch whose last step is done may still wait for its evaluation.
        begun = record.step - record.epoch * steps_per_epoch
        if (
            len(record.learning_rates) != record.step
            or len(record.history.train_accuracy) not in (0, record.epoch)
            or len(record.epoch_seconds) != record.epoch
            or len(record.epoch_parts) != record.epoch
            or len(record.image_sizes) not in (0, record.epoch)
            or not 0 <= begun <= steps_per_epoch
        ):
            raise ValueError(
                f"{record.step} losses and {record.epoch} accuracies do not go together at "
                f"{steps_per_epoch} steps an epoch"
            )
        return record


def _plateau(saved: Mapping[str, Any], controller: ReduceLROnPlateau) -> PlateauState:
    fresh = controller.init(float(saved["learning_rate"]))
    fields = {
        name: np.asarray(value, dtype=np.asarray(getattr(fresh, name)).dtype).reshape(())
        for name, value in saved.items()
        if value is not None
    }
    return fresh.replace(**fields)  # type: ignore[attr-defined]


def _parts(saved: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(saved[name]) for name in PARTS if name in saved}


def _floats(values: Any) -> list[float]:
    return [float(value) for value in values]
