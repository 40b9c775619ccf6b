"""Training: pure functions over pytrees. Optimizers, learning rates, steps and devices.

Attributes:
    OPTIMIZERS: the rule of every optimizer, by name; `make_optimizer` makes one.
    LossFunction: function from logits and labels to one loss per example.
    Parallel: how a step uses several devices.
    ReduceDtype: how devices sum their gradients.
    Prepare: function from images, labels and keys to the model's images and labels.
"""

from .batches import Batch, Epoch, EvalBatch, EvalPlan, epoch_order, eval_order
from .ema import check_decay, update_ema
from .engine import Engine, Parallel
from .epochs import Examples, eval_epoch, make_eval_epoch, make_train_epoch, train_epoch
from .eval_steps import Totals, eval_step, make_eval_step, zero_totals
from .learning_rate import (
    get_learning_rate,
    has_learning_rate,
    has_own_schedule,
    set_learning_rate,
)
from .losses import LossFunction, cross_entropy
from .optimizer import make_optimizer
from .plateau import PlateauState, ReduceLROnPlateau
from .preparation import Prepare
from .reductions import ReduceDtype
from .rules import OPTIMIZERS, OptimizerRule
from .schedules import Schedule
from .state import TrainState, create_state
from .steps import make_train_step, train_step

__all__ = [
    "OPTIMIZERS",
    "Batch",
    "Engine",
    "Epoch",
    "EvalBatch",
    "EvalPlan",
    "Examples",
    "LossFunction",
    "OptimizerRule",
    "Parallel",
    "PlateauState",
    "Prepare",
    "ReduceDtype",
    "ReduceLROnPlateau",
    "Schedule",
    "Totals",
    "TrainState",
    "check_decay",
    "create_state",
    "cross_entropy",
    "epoch_order",
    "eval_epoch",
    "eval_order",
    "eval_step",
    "get_learning_rate",
    "has_learning_rate",
    "has_own_schedule",
    "make_eval_epoch",
    "make_eval_step",
    "make_optimizer",
    "make_train_epoch",
    "make_train_step",
    "set_learning_rate",
    "train_epoch",
    "train_step",
    "update_ema",
    "zero_totals",
]
