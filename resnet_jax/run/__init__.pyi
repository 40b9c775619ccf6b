from . import processes
from .checkpoint_reader import CheckpointChoice, CheckpointError
from .checkpoints import CheckpointStore
from .config import FitConfig
from .console import Reporter
from .examples import Resident, Streamed, ahead
from .facts import DataFacts
from .files import RunError
from .folder import RunFolder, RunFolderError
from .identity import Identity, IdentityError
from .interruption import Interrupted, StopRequest
from .loop import fit
from .record import History, RunRecord
from .saver import NonFiniteLossError
from .sinks import (
    SINKS,
    TRACKERS,
    JsonLines,
    RunStart,
    Sink,
    SinkGroup,
    TensorBoard,
    Tracker,
    make_sink,
    read_log,
)
from .task import FitResult, Phase, Task, steps_per_epoch

__all__ = [
    "SINKS",
    "TRACKERS",
    "CheckpointChoice",
    "CheckpointError",
    "CheckpointStore",
    "DataFacts",
    "FitConfig",
    "FitResult",
    "History",
    "Identity",
    "IdentityError",
    "Interrupted",
    "JsonLines",
    "NonFiniteLossError",
    "Phase",
    "Reporter",
    "Resident",
    "RunError",
    "RunFolder",
    "RunFolderError",
    "RunRecord",
    "RunStart",
    "Sink",
    "SinkGroup",
    "StopRequest",
    "Streamed",
    "Task",
    "TensorBoard",
    "Tracker",
    "ahead",
    "fit",
    "make_sink",
    "processes",
    "read_log",
    "steps_per_epoch",
]
