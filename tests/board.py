"""What TensorBoard shows of a run, by its own reader, and what it should show."""

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from resnet_jax.run.sinks.scalars import scalars


def shown(folder):
    """Return (step, tag, value) of every number that TensorBoard shows of a folder, sorted.

    Its reader forgets what an earlier event file has from the step on with which a later one
    begins. A number that is shown twice is twice in the list.
    """
    board = EventAccumulator(str(folder), {"scalars": 0}).Reload()
    return sorted(
        (event.step, tag, event.value)
        for tag in board.Tags()["scalars"]
        for event in board.Scalars(tag)
    )


def numbers(events):
    """Return (step, tag, value as float32) of every number in a log's events, sorted."""
    return sorted(
        (event["step"], tag, float(np.float32(value)))
        for event in events
        for tag, value in scalars(event).items()
    )
