"""Where the examples of a step come from: the devices, or the host's memory.

A data set that fits is kept whole on every device, and a step picks its examples there. A larger
one stays in the host's memory; a thread picks the examples of the next steps and puts them on the
devices while this step runs. The examples, their order and their random keys are the same.

A thread is enough: the images are decoded already, so that a batch is one indexed copy, during
which NumPy releases the interpreter's lock. The position in a stream is not saved, because it
follows from the step's number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np

from ..data import Arrays
from ..training import Batch, Engine, Epoch, EvalBatch, EvalPlan

Item = TypeVar("Item")

DEPTH = 2
"""Number of batches that are prepared while a step runs."""


class Examples(Protocol):
    """A data set that gives the steps their batches."""

    def batches(self, order: Any, first: int = 0) -> Generator[Batch | Epoch, None, None]:
        """Yield what each training step of an epoch takes.

        Args:
            order: positions `[steps, batch]` of the epoch's examples.
            first: the step of the epoch to begin with, from 0.
        """

    def plan(self, order: Any, valid: Any) -> Generator[EvalPlan | EvalBatch, None, None]:
        """Yield what each evaluation step takes.

        Args:
            order: positions `[steps, batch]` of the examples.
            valid: `[steps, batch]`, False where an example only fills up the batch.
        """


class Resident:
    """A data set that is whole on every device.

    Args:
        arrays: its images and labels.
        engine: the devices.
    """

    def __init__(self, arrays: Arrays, engine: Engine) -> None:
        self._engine = engine
        self._images, self._labels = engine.replicate((arrays.images, arrays.labels))

    def batches(self, order: Any, first: int = 0) -> Generator[Batch | Epoch, None, None]:
        """Yield the whole epoch for each step; see `Examples`."""
        epoch = Epoch(self._images, self._labels, self._engine.put(order, 1))
        for _ in range(first, len(order)):
            yield epoch

    def plan(self, order: Any, valid: Any) -> Generator[EvalPlan | EvalBatch, None, None]:
        """Yield the whole plan for each step; see `Examples`."""
        put = self._engine.put
        plan = EvalPlan(self._images, self._labels, put(order, 1), put(valid, 1))
        for _ in range(len(order)):
            yield plan


class Streamed:
    """A data set in the host's memory.

    Args:
        arrays: its images and labels.
        engine: the devices.
    """

    def __init__(self, arrays: Arrays, engine: Engine) -> None:
        self._arrays, self._engine = arrays, engine

    def batches(self, order: Any, first: int = 0) -> Generator[Batch | Epoch, None, None]:
        """Yield a batch for each step; see `Examples`."""
        images, labels = self._arrays.images, self._arrays.labels

        def place(rows: np.ndarray) -> Batch | Epoch:
            return self._engine.place(Batch(images[rows], labels[rows]))

        return ahead(place, np.asarray(order)[first:])

    def plan(self, order: Any, valid: Any) -> Generator[EvalPlan | EvalBatch, None, None]:
        """Yield a batch for each step; see `Examples`."""
        images, labels = self._arrays.images, self._arrays.labels

        def place(row: tuple[np.ndarray, np.ndarray]) -> EvalPlan | EvalBatch:
            rows, counts = row
            return self._engine.place(EvalBatch(images[rows], labels[rows], counts))

        return ahead(place, zip(np.asarray(order), np.asarray(valid), strict=True))


def ahead(
    make: Callable[[Any], Item], arguments: Iterable[Any], depth: int = DEPTH
) -> Generator[Item, None, None]:
    """Yield `make` of each argument, made by a thread that keeps `depth` items ahead.

    An error of `make` is raised where its item would have been yielded. Closing the generator
    ends the thread.

    Args:
        make: called in the thread.
        arguments: one for each item, in order.
        depth: items that are made ahead of the one that is used.

    >>> list(ahead(lambda n: n * n, range(4)))
    [0, 1, 4, 9]
    """
    rest = iter(arguments)
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting: deque[Future[Item]] = deque()
        try:
            waiting.extend(pool.submit(make, argument) for argument in islice(rest, depth))
            while waiting:
                item = waiting.popleft().result()
                waiting.extend(pool.submit(make, argument) for argument in islice(rest, 1))
                yield item
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
