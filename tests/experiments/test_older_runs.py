"""Run folders of the first version can be compared."""

import tarfile
from pathlib import Path

from experiments.run_log import differences, read_run

OLDER = Path(__file__).parents[1] / "run" / "older"


def test_a_run_is_compared(tmp_path):
    with tarfile.open(OLDER / "cosine.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    run = read_run(tmp_path / "cosine", "older")
    assert len(run.steps) == 8
    assert differences([run, read_run(tmp_path / "cosine", "again")]) == {}
