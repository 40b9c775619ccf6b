"""How much memory is left, by what Linux says of itself and of control groups."""

import pytest

from resnet_jax.data import DatasetError, load_image_folder
from resnet_jax.data.memory import available_memory, check_memory

MEMINFO = "MemTotal: 9000 kB\nMemAvailable: 4000 kB\nSwapFree: 1000 kB\nHugePages_Total: 0\n"


@pytest.fixture
def system(tmp_path):
    """A function that writes files of a system below a folder, and returns the folder."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_the_system_alone(system):
    assert available_memory(system(proc__meminfo=MEMINFO)) == 5000 * 1024


def test_nothing_is_known(tmp_path):
    assert available_memory(tmp_path) is None


@pytest.mark.parametrize(
    ("limit", "available"), [("3000000", 2500000), ("max", 5000 * 1024), ("100", 0)]
)
def test_a_control_group(system, limit, available):
    """The limit of a group above counts; pages of files can be given back."""
    root = system(
        proc__meminfo=MEMINFO,
        proc__self__cgroup="0::/job/step\n",
        sys__fs__cgroup__job__step__memory_DOT_max="max\n",
        sys__fs__cgroup__job__step__memory_DOT_current="9\n",
        sys__fs__cgroup__job__memory_DOT_max=f"{limit}\n",
        sys__fs__cgroup__job__memory_DOT_current="600000\n",
        sys__fs__cgroup__job__memory_DOT_stat="anon 500000\ninactive_file 100000\n",
    )
    assert available_memory(root) == available


def test_a_control_group_of_the_first_version(system):
    root = system(
        proc__meminfo=MEMINFO,
        proc__self__cgroup="5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n",
        sys__fs__cgroup__memory__a__memory_DOT_limit_in_bytes="1000\n",
        sys__fs__cgroup__memory__a__memory_DOT_usage_in_bytes="300\n",
    )
    assert available_memory(root) == 700


def test_an_image_folder_without_room(tmp_path):
    """It is refused before a file is opened: these hold no images."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(3):
            (tmp_path / name / f"{index}.png").touch()
    with pytest.raises(DatasetError, match=r"6 images of 1000000 x 1000000 pixels with 3 channels"):
        load_image_folder(tmp_path, side=10**6)


def test_images_without_room():
    check_memory(3, side=8, channels=1)
    message = r"7 images of 1000000 x 1000000 pixels .* 21,000.0 GB .*; try a smaller `resize`"
    with pytest.raises(DatasetError, match=message):
        check_memory(7, side=10**6, channels=3)
