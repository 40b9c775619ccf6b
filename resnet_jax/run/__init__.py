"""Running: everything with an effect. The loop, the run folder, checkpoints and logs."""

from . import processes
from .checkpoints import CheckpointError, CheckpointStore
from .console import Reporter
from .examples import Resident, Streamed
from .fit import FitConfig, FitResult, NonFiniteLossError, Task, fit, steps_per_epoch
from .folder import RunFolderError, run_lock
from .interruption import Interrupted, StopRequest
from .record import History, RunRecord
from .sinks.event_file import EventFile, event_files, read_event_file
from .sinks.jsonl import Logbook, read_log

__all__ = [
    "CheckpointError",
    "CheckpointStore",
    "EventFile",
    "FitConfig",
    "FitResult",
    "History",
    "Interrupted",
    "Logbook",
    "NonFiniteLossError",
    "Reporter",
    "Resident",
    "RunFolderError",
    "RunRecord",
    "StopRequest",
    "Streamed",
    "Task",
    "event_files",
    "fit",
    "processes",
    "read_event_file",
    "read_log",
    "run_lock",
    "steps_per_epoch",
]
