"""The environment variables of launchers, and what they say."""

import pytest

from resnet_jax.run.cluster import ALONE, Place, find_place, local_devices, shell_of_several

JOB = {"SLURM_JOB_ID": "70001", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "node[01-02]"}
STEP = {
    **JOB,
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "node[01-02]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_NODEID": "1",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
SHELL = {
    # As `salloc` starts it where shells are steps of their own.
    **JOB,
    "SLURM_STEP_ID": "4294967290",
    "SLURM_STEP_NUM_TASKS": "1",
    "SLURM_STEP_NODELIST": "node01",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}
SINGLE = {
    **STEP,
    "SLURM_NTASKS": "1",
    "SLURM_STEP_NUM_TASKS": "1",
    "SLURM_STEP_TASKS_PER_NODE": "1",
    "SLURM_NODEID": "0",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}
# The port that JAX takes for the job.
PORT = 61440 + 70001 % 4096
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
}
OMPI_PORT = 61440 + 1531576320 // 4096 % 4096
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
JAX = {
    "JAX_COORDINATOR_ADDRESS": "head:99",
    "JAX_NUM_PROCESSES": "2",
    "JAX_PROCESS_ID": "1",
}
PLACES = {
    "nothing": ({}, None),
    "step": (STEP, Place(f"node01:{PORT}", 4, 3)),
    "second step": ({**STEP, "SLURM_STEP_ID": "1"}, Place(f"node01:{PORT + 257}", 4, 3)),
    "one node": ({**STEP, "SLURM_STEP_NODELIST": "gpu-7"}, Place(f"gpu-7:{PORT}", 4, 3)),
    "nodes": ({**STEP, "SLURM_STEP_NODELIST": "a1,b[2-3]"}, Place(f"a1:{PORT}", 4, 3)),
    "list": ({**STEP, "SLURM_STEP_NODELIST": "a[007,009-011],b"}, Place(f"a007:{PORT}", 4, 3)),
    "port": ({**STEP, "JAX_COORDINATOR_PORT": "99"}, Place("node01:99", 4, 3)),
    "address": ({**STEP, "JAX_COORDINATOR_ADDRESS": "head:99"}, Place("head:99", 4, 3)),
    "one task": (SINGLE, ALONE),
    "one task and an address": ({**SINGLE, "JAX_COORDINATOR_ADDRESS": "head:99"}, ALONE),
    "batch script": ({**JOB, "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}, ALONE),
    "shell": (SHELL, ALONE),
    "PMI of Slurm": ({**STEP, "PMI_SIZE": "4", "PMI_RANK": "3"}, Place(f"node01:{PORT}", 4, 3)),
    "Open MPI": (OPEN_MPI, Place(f"10.96.0.1:{OMPI_PORT}", 4, 2)),
    "Open MPI in a job": ({**SHELL, **OPEN_MPI}, Place(f"10.96.0.1:{OMPI_PORT}", 4, 2)),
    "Open MPI, IPv6": (
        {**OPEN_MPI, "OMPI_MCA_orte_hnp_uri": "4096.0;tcp6://[fe80::b9b,2620::2]:43370"},
        Place("[fe80::b9b]:61441", 4, 2),
    ),
    "Open MPI, one": ({"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}, ALONE),
    "MPI and an address": (
        {"PMI_SIZE": "2", "PMI_RANK": "1", "JAX_COORDINATOR_ADDRESS": "head:99"},
        Place("head:99", 2, 1),
    ),
    "pod": (POD, ALONE),
    "numbered pod": ({**POD, "JOB_COMPLETION_INDEX": "0"}, None),
    "pod with a TPU": ({**POD, "TPU_WORKER_HOSTNAMES": "a,b"}, None),
    "TPU": ({"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "0"}, None),
    "JAX": (JAX, Place("head:99", 2, 1)),
    "JAX in a step": ({**STEP, **JAX}, Place("head:99", 2, 1)),
    "JAX, one": ({**STEP, "JAX_NUM_PROCESSES": "1"}, ALONE),
    "JAX, the address": ({"JAX_COORDINATOR_ADDRESS": "head:99"}, None),
}


@pytest.mark.parametrize("name", PLACES)
def test_places(name):
    environment, place = PLACES[name]
    assert find_place(environment) == place


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PMI_SIZE": "4", "PMI_RANK": "1"}, "MPI has started 4 processes, but does not say where"),
        ({**SINGLE, "PMI_SIZE": "4", "PMI_RANK": "1"}, "set `JAX_COORDINATOR_ADDRESS` to its host"),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}, "Open MPI has started 2 pro"),
        ({**JAX, "JAX_PROCESS_ID": ""}, "`JAX_PROCESS_ID` must be set, too"),
        ({"JAX_NUM_PROCESSES": "2"}, "`JAX_COORDINATOR_ADDRESS` and `JAX_PROCESS_ID` must be set"),
        ({**JAX, "JAX_PROCESS_ID": "-1"}, r"`JAX_PROCESS_ID` \(='-1'\) must be a number"),
        ({**STEP, "SLURM_STEP_NODELIST": ""}, r"`SLURM_STEP_NODELIST` \(=''\) must name the nodes"),
        ({**STEP, "SLURM_STEP_NUM_TASKS": "x"}, r"`SLURM_STEP_NUM_TASKS` \(='x'\) must be a num"),
    ],
)
def test_what_cannot_be_understood(environment, message):
    with pytest.raises(ValueError, match=message) as error:
        find_place(environment)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("environment", "devices"),
    [
        ({}, None),
        (STEP, [1]),
        ({**STEP, "SLURM_STEP_TASKS_PER_NODE": "3,1"}, None),
        ({**STEP, "SLURM_STEP_TASKS_PER_NODE": "1(x4)"}, None),
        ({**STEP, "CUDA_VISIBLE_DEVICES": "0,1"}, [1]),
        ({**STEP, "CUDA_VISIBLE_DEVICES": "0"}, None),
        ({**STEP, "JAX_LOCAL_DEVICE_IDS": "2,3"}, None),
        (SINGLE, None),
        (JOB, None),
        (OPEN_MPI, [0]),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, None),
    ],
)
def test_devices_of_a_process(environment, devices):
    """One of several on a machine takes one; the only one takes all."""
    assert local_devices(environment) == devices


def test_what_is_said_in_a_shell():
    assert shell_of_several(SHELL) == (
        "Slurm's job has 4 tasks, but this process was not started by srun as one of them: it runs "
        "alone"
    )
    assert shell_of_several(JOB) == shell_of_several(SHELL)
    assert shell_of_several(SINGLE) == shell_of_several({}) == ""
