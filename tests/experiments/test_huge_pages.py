"""Commands start again with huge pages where the system gives them to who asks, and only there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.huge_pages import SWITCH, TUNABLES, wanted_tunables

ASKED = "always [madvise] never"


@pytest.mark.parametrize(
    ("environment", "libc", "setting", "expected"),
    [
        ({}, "glibc 2.36", ASKED, "glibc.malloc.hugetlb=1"),
        ({}, "glibc 3.0.1", ASKED, "glibc.malloc.hugetlb=1"),
        (
            {TUNABLES: "glibc.malloc.check=3"},
            "glibc 2.36",
            ASKED,
            "glibc.malloc.check=3:glibc.malloc.hugetlb=1",
        ),
        ({TUNABLES: "glibc.malloc.hugetlb=0"}, "glibc 2.36", ASKED, None),
        ({SWITCH: "0"}, "glibc 2.36", ASKED, None),
        ({}, "glibc 2.34", ASKED, None),
        ({}, "musl 1.2.5", ASKED, None),
        ({}, "", ASKED, None),
        ({}, "glibc 2.36", "[always] madvise never", None),
        ({}, "glibc 2.36", "always madvise [never]", None),
    ],
)
def test_what_is_asked_for(environment, libc, setting, expected):
    assert wanted_tunables(environment, libc=libc, setting=setting) == expected


def started(tmp_path, *words, **environment):
    """Run Python; return the process and the value of the variable at each of its starts."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        f"with open({str(tmp_path / 'starts')!r}, 'a') as file:\n"
        f"    print(os.getpid(), os.environ.get({TUNABLES!r}), file=file)\n"
    )
    root = Path(__file__).parents[2]
    cleaned = {key: text for key, text in os.environ.items() if key not in (TUNABLES, SWITCH)}
    paths = os.pathsep.join((str(tmp_path), str(root)))
    done = subprocess.run(
        [sys.executable, *words],
        env={**cleaned, "PYTHONPATH": paths, **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    starts = [line.split() for line in (tmp_path / "starts").read_text().splitlines()]
    return done, starts


def wanted():
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not setting.exists():
        return None
    libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    return wanted_tunables({}, libc=libc, setting=setting.read_text())


def test_a_command_starts_again_as_the_same_process(tmp_path):
    done, starts = started(tmp_path, "-X", "dev", "-m", "experiments", "--no-such-option")
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr
    (first, before), *again = starts
    assert before == "None"
    assert again == ([] if wanted() is None else [[first, wanted()]])


def test_it_can_be_forbidden_and_is_not_done_to_programs_that_import_us(tmp_path):
    _, starts = started(tmp_path, "-m", "experiments", "--no-such-option", **{SWITCH: "0"})
    assert [value for _, value in starts] == ["None"]
    (tmp_path / "starts").unlink()
    _, starts = started(tmp_path, "-c", "import experiments.flat")
    assert [value for _, value in starts] == ["None"]
