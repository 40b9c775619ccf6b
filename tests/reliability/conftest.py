"""What the tests of reliability share."""

import pytest

from .runs import Runner, small_task


@pytest.fixture(scope="session")
def task():
    return small_task()


@pytest.fixture
def run(task):
    return Runner(task)


@pytest.fixture(scope="session")
def whole(task, tmp_path_factory):
    """Return the result and the run folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    return Runner(task)(folder), folder
