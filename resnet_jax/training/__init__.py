"""Training: pure functions over pytrees. Optimizer, learning rates, steps and devices."""

from .batches import Batch, Epoch, EvalBatch, EvalPlan, epoch_order, eval_order
from .ema import check_decay, update_ema
from .engine import Engine, Parallel
from .optimizer import (
    get_learning_rate,
    has_own_schedule,
    make_optimizer,
    set_learning_rate,
)
from .plateau import PlateauState, ReduceLROnPlateau
from .schedules import Schedule
from .state import TrainState, create_state
from .steps import (
    LossFunction,
    Prepare,
    Totals,
    cross_entropy,
    eval_step,
    make_eval_step,
    make_train_step,
    train_step,
    zero_totals,
)

__all__ = [
    "Batch",
    "Engine",
    "Epoch",
    "EvalBatch",
    "EvalPlan",
    "LossFunction",
    "Parallel",
    "PlateauState",
    "Prepare",
    "ReduceLROnPlateau",
    "Schedule",
    "Totals",
    "TrainState",
    "check_decay",
    "create_state",
    "cross_entropy",
    "epoch_order",
    "eval_order",
    "eval_step",
    "get_learning_rate",
    "has_own_schedule",
    "make_eval_step",
    "make_optimizer",
    "make_train_step",
    "set_learning_rate",
    "train_step",
    "update_ema",
    "zero_totals",
]
