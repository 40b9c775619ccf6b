"""What is said of a disk that does not take or give something: why, and what helps."""

import errno
import os

import pytest

from resnet_jax.run import RunFolder, RunFolderError
from resnet_jax.run.disk import lacks_room, reason_of

ADVICE = "Checkpoints that are there stay whole; go on with them when there is room"
FULL = (errno.ENOSPC, errno.EDQUOT)
OTHERS = (errno.EROFS, errno.ENOTDIR, errno.EACCES, errno.EIO)


def of_tensorstore(number):
    return ValueError(f"UNKNOWN: Error writing \"a\"\n [os_error_code='{number}']")


@pytest.mark.parametrize("number", [*FULL, *OTHERS])
def test_room_is_advised_only_where_it_is_lacking(tmp_path, number):
    folder = RunFolder(tmp_path)
    with pytest.raises(RunFolderError) as error, folder.disk_errors_explained():
        raise OSError(number, os.strerror(number), "a")
    message = str(error.value)
    start = f"cannot write to `run_dir` (={tmp_path}): {os.strerror(number)} (a)"
    assert message == (f"{start}. {ADVICE}" if number in FULL else start)


@pytest.mark.parametrize("number", [*FULL, *OTHERS])
def test_errors_of_tensorstore_are_told_apart_likewise(number):
    error = of_tensorstore(number)
    assert reason_of(error) == os.strerror(number)
    assert lacks_room(error) == (number in FULL)


def test_another_error_has_nothing_to_do_with_room():
    assert not lacks_room(ValueError("no space"))
