"""TensorBoard's event files: those of earlier versions, torn ones, their names and times."""

import base64

import pytest
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from resnet_jax.run.sinks import RunStart, TensorBoard
from resnet_jax.run.sinks.event_files import event_paths, read_scalars

OLD_NAME = "events.out.tfevents.1695641789573849513.resnet_jax"
# As version 0.1.0 of this package wrote it: steps 1 and 2 and the epoch that they make.
OLD = base64.b64decode(
    "GAAAAAAAAACjf0siCbOwZG/UwdpBGg1icmFpbi5FdmVudDoyxT37zg0AAAAAAAAAPDe4NAmzsGRv1MHaQToCCAECOM5jMAAAAA"
    "AAAACV9dBfCfK6ZG/UwdpBEAEqIwoLCgRsb3NzFQAAgD4KFAoNbGVhcm5pbmdfcmF0ZRUAAAA/r3vfGzAAAAAAAAAAlfXQXwnV"
    "u2Rv1MHaQRACKiMKCwoEbG9zcxUAAAA/ChQKDWxlYXJuaW5nX3JhdGUVAAAAP+wrtJ1AAAAAAAAAACgX9JUJC7xkb9TB2kEQAi"
    "ozChUKDmFjY3VyYWN5L3RyYWluFQAAlkIKGgoTYWNjdXJhY3kvdmFsaWRhdGlvbhUAAEhCmfC7TA=="
)
STEPS = [
    {"event": "step", "step": step, "epoch": 1, "loss": step / 4, "learning_rate": 0.5}
    for step in (1, 2, 3, 4)
]
EPOCH = {"event": "epoch", "step": 2, "epoch": 1, "train_accuracy": 75.0, "valid_accuracy": 50.0}


def begin(folder, *events):
    board = TensorBoard(folder)
    board.begin(
        RunStart("run", "ab12", step=max((e["step"] for e in events), default=0), events=events)
    )
    return board


def read(folder):
    """(tag, step, time) of all scalars, by TensorBoard's own reader."""
    board = EventAccumulator(str(folder), {"scalars": 0}).Reload()
    return sorted(
        (tag, event.step, event.wall_time)
        for tag in board.Tags()["scalars"]
        for event in board.Scalars(tag)
    )


def test_a_file_of_an_earlier_version_stays_and_goes_on(tmp_path):
    (tmp_path / OLD_NAME).write_bytes(OLD)
    old = read(tmp_path)
    board = begin(tmp_path, *STEPS[:2], EPOCH)
    assert read(tmp_path) == old
    board.log(STEPS[2])
    board.finish()
    assert (tmp_path / OLD_NAME).read_bytes() == OLD
    new = [entry for entry in read(tmp_path) if entry not in old]
    assert [entry[:2] for entry in new] == [("learning_rate", 3), ("loss", 3)]
    assert len(read(tmp_path)) == len(old) + 2


@pytest.mark.parametrize("length", [0, 5, 30, 60, 150, len(OLD) - 1])
def test_a_torn_file(tmp_path, length):
    """What is missing of it is written again."""
    (tmp_path / OLD_NAME).write_bytes(OLD[:length])
    begin(tmp_path, *STEPS[:2], EPOCH).finish()
    tags = [("accuracy/train", 2), ("accuracy/validation", 2)]
    tags += [(tag, step) for tag in ("learning_rate", "loss") for step in (1, 2)]
    assert [entry[:2] for entry in read(tmp_path)] == tags


def test_a_damaged_file(tmp_path):
    damaged = bytearray(OLD)
    damaged[110] ^= 1
    (tmp_path / OLD_NAME).write_bytes(damaged)
    begin(tmp_path, *STEPS[:2]).finish()
    assert [scalar[:2] for scalar in read_scalars(tmp_path)] == [
        (step, tag) for step in (1, 2) for tag in ("loss", "learning_rate")
    ]


def test_numbers_before_the_resume_keep_their_times(tmp_path):
    first = begin(tmp_path)
    for event in STEPS[:3]:
        first.log(event)
    first.finish()
    before = read(tmp_path)
    second = begin(tmp_path, *STEPS[:2])
    for event in STEPS[2:]:
        second.log(event)
    second.finish()
    after = read(tmp_path)
    assert [entry for entry in before if entry[1] <= 2] == [e for e in after if e[1] <= 2]
    assert [entry[1] for entry in after] == [1, 2, 3, 4] * 2


def test_other_values_are_replaced(tmp_path):
    """As when a new run takes the folder of one that failed."""
    first = begin(tmp_path)
    first.log({**STEPS[0], "loss": 9.0})
    first.log({**STEPS[3], "loss": 9.0})
    first.finish()
    second = begin(tmp_path)
    second.log(STEPS[0])
    second.finish()
    assert [scalar[:3] for scalar in read_scalars(tmp_path)] == [
        (1, "loss", 0.25),
        (1, "learning_rate", 0.5),
    ]


def test_files_begun_in_one_second(tmp_path):
    """Neither shares a file with the other, and their names say which is the later one."""
    for step in range(4):
        board = begin(tmp_path, *STEPS[:step])
        board.log(STEPS[step])
        board.finish()
    assert len(event_paths(tmp_path)) == 4
    assert [entry[1] for entry in read(tmp_path)] == [1, 2, 3, 4] * 2


def test_a_clock_that_is_behind(tmp_path):
    """A file of a later date is not read after the new one."""
    (tmp_path / "events.out.tfevents.3000000000000000000.resnet_jax").write_bytes(OLD)
    board = begin(tmp_path, STEPS[0])
    board.finish()
    assert [entry[:2] for entry in read(tmp_path)] == [("learning_rate", 1), ("loss", 1)]


def test_figures_that_are_drawn_again_replace_the_earlier_ones(tmp_path):
    def images():
        board = EventAccumulator(str(tmp_path), {"images": 0}).Reload()
        return [image.step for image in board.Images("confusion")]

    figure = Figure(figsize=(2, 1))
    first = begin(tmp_path)
    for event in (*STEPS[:2], EPOCH):
        first.log(event)
    first.figure("confusion", figure, 2)
    first.finish()
    # The checkpoint was saved after the evaluation, which is not done again.
    begin(tmp_path, *STEPS[:2], EPOCH).finish()
    assert images() == [2]
    # It was saved before that.
    again = begin(tmp_path, *STEPS[:2])
    again.log(EPOCH)
    again.figure("confusion", figure, 2)
    again.finish()
    assert images() == [2]


def test_the_image_of_a_figure(tmp_path):
    board = begin(tmp_path)
    board.figure("confusion", Figure(figsize=(2, 1), dpi=50), 7)
    board.finish()
    (image,) = EventAccumulator(str(tmp_path)).Reload().Images("confusion")
    assert (image.step, image.width, image.height) == (7, 100, 50)
    assert image.encoded_image_string.startswith(b"\x89PNG")


def test_log_before_begin(tmp_path):
    with pytest.raises(RuntimeError, match="`begin` must be called first"):
        TensorBoard(tmp_path).log(STEPS[0])


def test_a_file_that_was_removed_does_not_go_on_without_its_beginning(tmp_path):
    board = begin(tmp_path)
    (path,) = event_paths(tmp_path)
    path.unlink()
    board.log(STEPS[0])
    with pytest.raises(FileNotFoundError):
        board.flush()
    assert not list(tmp_path.iterdir())
