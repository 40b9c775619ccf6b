"""A tiny run for the tests of what is done with runs."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny_runs import write_run

# The torch twin.
sys.path.append(str(Path(__file__).parents[1] / "parity"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "run"
    model, variables = write_run(folder)
    return SimpleNamespace(folder=folder, model=model, variables=variables)
