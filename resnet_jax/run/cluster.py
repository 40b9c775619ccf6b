"""Which process of how many this one is, as launchers say in environment variables.

JAX finds Slurm and Open MPI by itself, too, but takes the steps of a job for one cluster, a shell
inside an allocation for one of its tasks, and one device for each process even where a process has
a machine of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

Environment = Mapping[str, str]


class Place(NamedTuple):
    """The place of a process among all processes of a run.

    Attributes:
        coordinator: `host:port` of process 0.
        num_processes: number of processes.
        process_id: number of this process, from 0.
    """

    coordinator: str
    num_processes: int
    process_id: int

    def check(self) -> None:
        """Raise a `ValueError` for an address or a number out of range."""
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(
                f"`coordinator` (={self.coordinator!r}) must be host:port, such as 10.0.0.1:12345"
            )
        if self.num_processes < 1:
            raise ValueError(f"`num_processes` (={self.num_processes}) must be at least 1")
        if not 0 <= self.process_id < self.num_processes:
            raise ValueError(
                f"`process_id` (={self.process_id}) must be at least 0 and below `num_processes` "
                f"(={self.num_processes})"
            )


ALONE = Place("", 1, 0)
"""The place of a process without others."""


def find_place(environment: Environment) -> Place | None:
    """Return the place of this process, or None where nothing but JAX can find it.

    Args:
        environment: the environment variables of the process.

    Raises:
        ValueError: if a variable has no such value, or processes were started by a launcher that
            does not say where the first of them is.
    """
    for find in (_by_jax, _by_open_mpi, _by_mpi, _by_slurm, _by_kubernetes):
        place = find(environment)
        if place is not None:
            return ALONE if place.num_processes == 1 else place
    return None


def local_devices(environment: Environment) -> list[int] | None:
    """Return the numbers of this process's devices, or None for all that it can see.

    Several processes on one machine that can all see its devices take one each.

    Args:
        environment: the environment variables of the process.
    """
    if "JAX_LOCAL_DEVICE_IDS" in environment:
        return None  # JAX reads it.
    if "OMPI_COMM_WORLD_LOCAL_RANK" in environment:
        rank = _number(environment, "OMPI_COMM_WORLD_LOCAL_RANK")
        count = _number(environment, "OMPI_COMM_WORLD_LOCAL_SIZE", rank + 1)
    elif "SLURM_STEP_NUM_TASKS" in environment:
        rank = _number(environment, "SLURM_LOCALID")
        count = _tasks_on_this_node(environment)
    else:
        return None
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if count == 1 or (visible is not None and len(visible.split(",")) < count):
        return None
    return [rank]


def shell_of_several(environment: Environment) -> str:
    """Say that a Slurm job has more tasks than the one process that was started, or return ''.

    Args:
        environment: the environment variables of the process.
    """
    tasks = environment.get("SLURM_NTASKS", "")
    if not tasks.isdecimal() or int(tasks) < 2 or "SLURM_JOB_ID" not in environment:
        return ""
    return (
        f"Slurm's job has {tasks} tasks, but this process was not started by srun as one of them: "
        "it runs alone"
    )


def _by_jax(environment: Environment) -> Place | None:
    """Read the variables of JAX, all three of them."""
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    if environment.get("JAX_NUM_PROCESSES") == "1":
        return ALONE
    missing = [name for name in names if not environment.get(name)]
    if missing in ([*names], [*names[1:]]):
        # None, or the address alone, which JAX adds to what a launcher says.
        return None
    if missing:
        raise ValueError(f"`{'` and `'.join(missing)}` must be set, too: {', '.join(names)}")
    address, *numbers = names
    return Place(environment[address], *(_number(environment, name) for name in numbers))


def _by_open_mpi(environment: Environment) -> Place | None:
    """Read the variables of Open MPI's mpirun."""
    if "OMPI_COMM_WORLD_SIZE" not in environment:
        return None
    size = _number(environment, "OMPI_COMM_WORLD_SIZE")
    rank = _number(environment, "OMPI_COMM_WORLD_RANK")
    # Such as 1531576320.0;tcp://10.96.0.1,10.148.0.1:34911
    # or 1314521088.0;tcp6://[fe80::b9b:ac5d,2620:10d::2]:43370
    uri = environment.get("OMPI_MCA_orte_hnp_uri", "")
    found = re.match(r"(\d+)\.\d+;tcp(?:6://\[([^,\]]+)|://([^,:]+))", uri)
    if found is None:
        return _by_hand(environment, "Open MPI", rank, size)
    job, version_6, version_4 = found.groups()
    host = f"[{version_6}]" if version_6 else version_4
    # Numbers of jobs are multiples of 4096.
    return Place(_address(environment, host, int(job) // 4096), size, rank)


def _by_mpi(environment: Environment) -> Place | None:
    """Read the variables of other launchers of MPI, such as MPICH's and Intel's."""
    size = _number(environment, "PMI_SIZE", 1)
    if size == 1 or environment.get("SLURM_STEP_NUM_TASKS") == str(size):
        return None
    return _by_hand(environment, "MPI", _number(environment, "PMI_RANK"), size)


def _by_hand(environment: Environment, launcher: str, rank: int, size: int) -> Place:
    """Return the place of a process whose launcher names no address."""
    address = environment.get("JAX_COORDINATOR_ADDRESS")
    if size > 1 and not address:
        raise ValueError(
            f"{launcher} has started {size} processes, but does not say where the first one is: "
            "set `JAX_COORDINATOR_ADDRESS` to its host:port"
        )
    return Place(address or "", size, rank)


def _by_slurm(environment: Environment) -> Place | None:
    """Read the variables that srun sets for the tasks of a step."""
    if "SLURM_JOB_ID" not in environment:
        return None
    tasks = _number(environment, "SLURM_STEP_NUM_TASKS", 1)
    if tasks == 1:
        return ALONE
    # Such as node001, node[001-004,007],other or node001,node002
    nodes = environment.get("SLURM_STEP_NODELIST", "")
    found = re.match(r"([^,\[]+)(?:\[(\d+))?", nodes)
    if found is None:
        raise ValueError(f"`SLURM_STEP_NODELIST` (={nodes!r}) must name the nodes of the step")
    # Steps of one job may share a node, but not a port.
    number = _number(environment, "SLURM_JOB_ID") + 257 * _number(environment, "SLURM_STEP_ID", 0)
    host = "".join(part or "" for part in found.groups())
    return Place(_address(environment, host, number), tasks, _number(environment, "SLURM_PROCID"))


def _by_kubernetes(environment: Environment) -> Place | None:
    """Return the place of a pod that is not one of a job with numbered pods."""
    names = ("JOB_COMPLETION_INDEX", "TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES")
    if "KUBERNETES_SERVICE_HOST" not in environment or any(name in environment for name in names):
        return None
    return ALONE


def _address(environment: Environment, host: str, number: int) -> str:
    """Return `host:port`, with a port that follows from a number of the job."""
    port = environment.get("JAX_COORDINATOR_PORT") or str(61440 + number % 4096)
    return environment.get("JAX_COORDINATOR_ADDRESS") or f"{host}:{port}"


def _tasks_on_this_node(environment: Environment) -> int:
    """Return how many tasks of the Slurm step are on this node, from a list such as 2(x3),1."""
    counts: list[int] = []
    for part in environment.get("SLURM_STEP_TASKS_PER_NODE", "").split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if found is not None:
            counts += [int(found[1])] * int(found[2] or 1)
    node = _number(environment, "SLURM_NODEID", 0)
    tasks = _number(environment, "SLURM_STEP_NUM_TASKS")
    return counts[node] if node < len(counts) else tasks


def _number(environment: Environment, name: str, default: int | None = None) -> int:
    """Return the number that a variable holds.

    Raises:
        ValueError: if it holds none, or is missing and has no default.
    """
    text = environment.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdecimal():
        raise ValueError(f"the environment variable `{name}` (={text!r}) must be a number")
    return int(text)
