"""The options of how a training runs, is evaluated and is recorded, and what each group makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resnet_jax.run import SINKS, FitConfig, RunFolder, SinkGroup, make_sink, processes
from resnet_jax.training import Engine, Parallel, ReduceDtype

from .compile_cache import keep_compiled
from .flat import Free

if TYPE_CHECKING:
    from flax import linen as nn

    SinkName = str
else:
    # The rows of the table, so that a new one needs no edit here.
    SinkName = Literal[tuple(SINKS)]


@dataclass(frozen=True)
class EvaluationOptions:
    """The evaluation."""

    eval_batch_size: Free[int] = 256
    """Images per evaluation step; changes only speed and memory."""
    train_accuracy: Literal["full", "running", "none"] = "full"
    """Training accuracy of an epoch: over all images after it, which costs a pass over them, over
    its steps as they went (augmented, in training mode), or none."""
    flip_test: bool = False
    """Average the logits of each test image and its mirror image."""

    def build(self, model: nn.Module) -> nn.Module:
        """Make the network that is evaluated on the test images.

        Args:
            model: the network that was trained.
        """
        from resnet_jax.evaluation import FlipAveraged

        return FlipAveraged(model) if self.flip_test else model


@dataclass(frozen=True)
class DeviceOptions:
    """The devices and processes."""

    parallel: Free[Parallel] = "auto"
    """How to use several devices; auto is jit over a mesh of all."""
    reduce_dtype: ReduceDtype = "float32"
    """Number format in which devices sum their gradients; bfloat16 sends half the bytes, and rounds
    them."""
    resident_gigabytes: Free[float] = FitConfig.resident_gigabytes
    """Images up to this size, in 10^9 bytes, are kept on the devices; more are streamed."""
    coordinator: Free[str | None] = None
    """host:port of the first of several processes; None asks the cluster's environment."""
    num_processes: Free[int | None] = None
    """Processes of the run; goes with coordinator."""
    process_id: Free[int | None] = None
    """Number of this process, from 0; goes with coordinator."""
    compile_cache: Free[bool] = True
    """Keep compiled programs on the disk, so that the next start is faster; those that call oneDNN,
    as training on a CPU may, cannot be kept."""

    def join(self) -> None:
        """Join the processes of the run; must come before anything asks for devices."""
        processes.initialize(self.coordinator, self.num_processes, self.process_id)

    def build(self) -> Engine:
        """Make the engine that shares a step out to the devices."""
        if self.compile_cache:
            keep_compiled()
        return Engine.create(self.parallel)


@dataclass(frozen=True)
class RunOptions:
    """The run folder and what is written into it."""

    run_dir: Free[Path] = Path("runs/resnet")
    """Folder for log, checkpoints, figures and report; must be new or empty, unless resumed. The
    report is of the weights of the last epoch, and has the test accuracy of the best epoch, too."""
    resume: Free[bool] = False
    """Go on from the newest checkpoint in run_dir."""
    log_every: Free[int] = 100
    """Steps between two printed losses."""
    checkpoint_every: Free[int] = 0
    """Steps between two checkpoints inside an epoch; 0 saves after each epoch only."""
    checkpoint_minutes: Free[float] = 0.0
    """Minutes between two checkpoints inside an epoch; 0 saves after each epoch only."""
    track: Free[tuple[SinkName, ...]] = ("tensorboard",)
    """Where the numbers go besides the run's own log; nothing after --track is nowhere."""

    def check(self) -> None:
        """Raise a `ValueError` for a tracker that would get everything twice."""
        for number, name in enumerate(self.track):
            if name in self.track[:number]:
                raise ValueError(
                    f"`track` (={' '.join(self.track)}) names {name} twice; name each tracker once"
                )

    def build(self) -> RunFolder:
        """Make the run folder; nothing is written yet."""
        return RunFolder(self.run_dir, resume=self.resume)

    def build_sinks(self, folder: RunFolder) -> SinkGroup:
        """Make what the numbers go to besides the run's own log; only the first process writes.

        Args:
            folder: the run folder.
        """
        names = self.track if processes.is_first() else ()
        return SinkGroup(make_sink(name, folder.path) for name in names)
