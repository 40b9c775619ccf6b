"""Training: optimizer, learning-rate controller, steps, loop and checkpoints."""

from . import processes
from .batches import Batch, Epoch, EvalBatch, EvalPlan, epoch_order, eval_order
from .checkpoint import CheckpointError, CheckpointStore
from .event_file import EventFile, event_files, read_event_file
from .history import History, RunRecord
from .logbook import Logbook, read_log
from .loop import FitConfig, FitResult, NonFiniteLossError, Task, fit, steps_per_epoch
from .optimizer import get_learning_rate, make_optimizer, set_learning_rate
from .parallel import Engine
from .plateau import PlateauState, ReduceLROnPlateau
from .preemption import Interrupted, StopRequest
from .progress import Reporter
from .run_folder import RunFolderError, run_lock
from .schedules import Schedule
from .state import TrainState, create_state
from .steps import (
    Totals,
    cross_entropy,
    eval_step,
    make_eval_step,
    make_train_step,
    train_step,
    zero_totals,
)
from .streaming import Resident, Streamed

__all__ = [
    "Batch",
    "CheckpointError",
    "CheckpointStore",
    "Engine",
    "Epoch",
    "EvalBatch",
    "EvalPlan",
    "EventFile",
    "FitConfig",
    "FitResult",
    "History",
    "Interrupted",
    "Logbook",
    "NonFiniteLossError",
    "PlateauState",
    "ReduceLROnPlateau",
    "Reporter",
    "Resident",
    "RunFolderError",
    "RunRecord",
    "Schedule",
    "StopRequest",
    "Streamed",
    "Task",
    "Totals",
    "TrainState",
    "create_state",
    "cross_entropy",
    "epoch_order",
    "eval_order",
    "eval_step",
    "event_files",
    "fit",
    "get_learning_rate",
    "make_eval_step",
    "make_optimizer",
    "make_train_step",
    "processes",
    "read_event_file",
    "read_log",
    "run_lock",
    "set_learning_rate",
    "steps_per_epoch",
    "train_step",
    "zero_totals",
]
