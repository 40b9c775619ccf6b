"""Several processes, as on several hosts: JAX's own runtime, and how a run joins it.

Every process runs the same program on its own devices; collectives join them. The first one
alone prints, logs and draws; all of them take part in saving checkpoints.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ..storage import first_line
from .cluster import ALONE, Place, find_place, local_devices, shell_of_several

CONNECT_SECONDS = 60
"""Seconds for which processes wait for each other at the start."""

HEARTBEAT_SECONDS = 60
"""Seconds after which a silent process counts as lost, if its connections have not failed before.

JAX's runtime then aborts the others and says why.
"""

LEAVE_SECONDS = 10
"""Seconds for which a process that has failed waits for others that may be failing, too."""

_NEVER = 10**6
"""Seconds that are never over."""

_NOT_FROM_OTHERS = re.compile(
    "RESOURCE_EXHAUSTED|INVALID_ARGUMENT|UNIMPLEMENTED|out of memory", re.IGNORECASE
)
"""Errors of JAX's runtime that no other process is the cause of."""


class ProcessError(RuntimeError):
    """The processes of a run have not found each other, or have lost one."""


def initialize(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    timeout: float = CONNECT_SECONDS,
) -> None:
    """Join the processes of a run; must come before anything asks for devices.

    Without arguments the cluster is taken from the environment: JAX's own variables, Slurm, MPI,
    Kubernetes or Cloud TPU. Where there is none, or devices are in use already, this is a single
    process, and so is a Slurm step with one task, or a process that was not started by srun.

    Args:
        coordinator: `host:port` of the first process, reachable by all.
        num_processes: number of processes of the run; 1 alone ignores the environment.
        process_id: number of this process, from 0.
        timeout: seconds to wait for the others.

    Raises:
        ValueError: unless all three are given, in range, or none is; or if the environment says
            that there are others, but not where.
        ProcessError: if the others cannot be reached. JAX goes on waiting for them in this
            process, which should end, for example by `end_at_once`.
    """
    given = {
        "coordinator": coordinator,
        "num_processes": num_processes,
        "process_id": process_id,
    }
    missing = [name for name, value in given.items() if value is None]
    if num_processes == 1 and len(missing) == 2:
        return
    if 0 < len(missing) < len(given):
        raise ValueError(
            f"`{'` and `'.join(missing)}` must be given, too: `coordinator`, `num_processes` and "
            "`process_id` belong together"
        )
    place: Place | None
    if coordinator is not None and num_processes is not None and process_id is not None:
        place = Place(coordinator, num_processes, process_id)
    else:
        place = find_place(os.environ)
    if place is not None and place != ALONE:
        place.check()
    if jax.distributed.is_initialized():
        return
    if place == ALONE:
        if note := shell_of_several(os.environ):
            print(note, file=sys.stderr, flush=True)
        return
    # On CPUs the processes talk over TCP; other devices have their own ways.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        _join(place, timeout)
    except ValueError as error:
        if place is not None or "must be defined" not in str(error).replace("should", "must"):
            raise
        if "JAX_COORDINATOR_ADDRESS" in os.environ:
            raise ValueError(
                "`JAX_COORDINATOR_ADDRESS` is set, but nothing says which process of how many "
                "this is: set `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`, too"
            ) from error
        return  # No cluster in the environment: a single process.
    except ProcessError:
        raise
    except RuntimeError as error:
        if coordinator is None and "must be called before" in str(error):
            return
        if not isinstance(error, jax.errors.JaxRuntimeError):
            raise  # The coordination of the processes is not what has failed.
        where = "the cluster" if place is None else f"`coordinator` (={place.coordinator})"
        raise ProcessError(
            f"{where} could not be joined: {first_line(error)}; check that all processes were "
            "started and can reach its port"
        ) from error
    _within(timeout, _connect, place)


def _join(place: Place | None, timeout: float) -> None:
    """Join the cluster.

    Args:
        place: of this process; None leaves it to JAX to find it.
        timeout: seconds to wait for the others.

    Raises:
        ProcessError: if they have not come by then.
    """
    options: dict[str, Any] = {}
    if place is not None:
        options = {
            "coordinator_address": place.coordinator,
            "num_processes": place.num_processes,
            "process_id": place.process_id,
            "local_device_ids": local_devices(os.environ),
            "cluster_detection_method": "deactivate",
        }

    def join() -> None:
        jax.distributed.initialize(
            initialization_timeout=_NEVER,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            **options,
        )

    # JAX aborts the process when its own time is over.
    _within(timeout, join, place)


def _within(timeout: float, work: Callable[[], None], place: Place | None) -> None:
    """Do something that needs the other processes.

    Args:
        timeout: seconds to wait for it.
        work: what is done, in another thread.
        place: of this process; None where only JAX knows it.

    Raises:
        ProcessError: if it is not done by then.
    """
    errors: list[BaseException] = []

    def target() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=target, name="join", daemon=True)
    thread.start()
    thread.join(timeout)
    if errors:
        raise errors[0]
    if not thread.is_alive():
        return
    if place is None:
        raise ProcessError(f"the cluster has not answered within {timeout:g} s")
    first = place.process_id == 0
    raise ProcessError(
        f"process {place.process_id} of {place.num_processes} has waited {timeout:g} s for "
        f"{'the others' if first else 'process 0'} at {place.coordinator}; check that all "
        "processes were started and can reach its port"
    )


def _connect() -> None:
    """Open the connections of all devices now, while every process is here.

    Gloo opens them at the first collective and tolerates a delay of 30 s there, but one process
    may need longer to compile what another finds compiled.
    """
    wait_for_all("joined")
    mesh = Mesh(np.asarray(jax.devices()), ("all",), axis_types=(AxisType.Auto,))
    shared, whole = (NamedSharding(mesh, PartitionSpec(*axis)) for axis in (("all",), ()))
    zeros = np.zeros(mesh.size, np.float32)
    placed = jax.make_array_from_callback(zeros.shape, shared, zeros.__getitem__)
    jax.block_until_ready(jax.jit(jnp.sum, out_shardings=whole)(placed))


def is_first() -> bool:
    """Return whether this process is the one that prints, logs and draws."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Return when every process has come here.

    Args:
        name: name of the place, the same in all processes.
    """
    multihost_utils.sync_global_devices(name)


def largest(value: float) -> float:
    """Return the largest value of all processes, in each of them; all must come here.

    Args:
        value: the value of this process.
    """
    if jax.process_count() == 1:
        return value
    return float(multihost_utils.process_allgather(np.float32(value)).max())


@contextlib.contextmanager
def lost_processes_explained() -> Iterator[None]:
    """Turn an error of JAX's runtime in the body into one that names the likely cause.

    An error that this process alone can be the cause of, such as too little memory, stays.

    Raises:
        ProcessError: for a runtime error, where there are several processes: most likely one of
            them has ended, and its connections with it.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1 or _NOT_FROM_OTHERS.search(str(error)):
            raise
        raise ProcessError(
            f"process {jax.process_index()} of {jax.process_count()} has lost another one: "
            f"{first_line(error)}. The last checkpoint is whole; start all of them again, to go "
            "on from it"
        ) from error


def leave(code: int) -> None:
    """Leave the other processes after this one has failed; without others do nothing.

    Where all of them have failed, they leave together. Otherwise this process ends here, because
    a normal exit would wait for minutes for the others, and they for this one.

    Args:
        code: the exit code for that.
    """
    if not jax.distributed.is_initialized():
        return

    def shut_down() -> None:
        with contextlib.suppress(Exception):
            jax.distributed.shutdown()

    thread = threading.Thread(target=shut_down, name="leave", daemon=True)
    thread.start()
    thread.join(LEAVE_SECONDS)
    if thread.is_alive():
        _exit(code)


def end_at_once(message: str) -> NoReturn:
    """End this process with code 1 after another one was lost.

    A normal exit would wait for minutes for the lost process to end, too.

    Args:
        message: printed to standard error.
    """
    print(message, file=sys.stderr, flush=True)
    _exit(1)


def _exit(code: int) -> NoReturn:
    """End the process without waiting for anything but what was printed."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)
