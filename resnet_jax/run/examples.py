"""Where the examples of a step come from: the devices, the host's memory, or files.

A data set that fits is kept whole on every device, and a step picks its examples there. A larger
one stays in the host's memory; a thread picks the examples of the next steps and puts them on the
devices while this step runs. The examples, their order and their random keys are the same. Images
that are not decoded yet are read by workers, each process its part of every batch.

The position in an epoch is not saved, because it follows from the step's number: so a run goes on
exactly where it was, with any number of processes, devices and workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np

from ..data import Arrays, ImageStream, read_ahead
from ..training import Batch, Engine, Epoch, EvalBatch, EvalPlan

Item = TypeVar("Item")

DEPTH = 2
"""Number of batches that are prepared while a step runs."""


class Examples(Protocol):
    """A data set that gives the steps their batches."""

    def batches(
        self, order: Any, first: int = 0, *, epoch: int = 0, side: int | None = None
    ) -> Generator[Batch | Epoch, None, None]:
        """Yield what each training step of an epoch takes.

        Args:
            order: positions `[steps, batch]` of the epoch's examples.
            first: the step of the epoch to begin with, from 0.
            epoch: counted from 0; random crops of the host depend on it.
            side: height and width of random crops of the host, in pixels; None is their own.
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

    def batches(
        self, order: Any, first: int = 0, *, epoch: int = 0, side: int | None = None
    ) -> Generator[Batch | Epoch, None, None]:
        """Yield the whole epoch for each step; see `Examples`."""
        del epoch, side
        whole = Epoch(self._images, self._labels, self._engine.put(order, 1))
        for _ in range(first, len(order)):
            yield whole

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

    def batches(
        self, order: Any, first: int = 0, *, epoch: int = 0, side: int | None = None
    ) -> Generator[Batch | Epoch, None, None]:
        """Yield a batch for each step; see `Examples`."""
        del epoch, side
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


class FromFiles:
    """A data set of which each process reads its part of every batch.

    Args:
        stream: the images.
        engine: the devices.
        seed: of the random crops.
    """

    def __init__(self, stream: ImageStream, engine: Engine, seed: int) -> None:
        self._stream, self._engine, self._seed = stream, engine, seed
        self._labels = stream.labels

    def batches(
        self, order: Any, first: int = 0, *, epoch: int = 0, side: int | None = None
    ) -> Generator[Batch | Epoch, None, None]:
        """Yield a batch for each step; see `Examples`."""
        mine = self._mine(self._stream.epoch_rows(order))[first:]
        stream = self._stream if side is None else self._stream.resized(side)
        with self._read(stream, mine, (self._seed, epoch)) as read:

            def place(rows: np.ndarray) -> Batch | Epoch:
                # The rows of repetitions lie behind those of the images.
                batch = Batch(next(read), self._labels[rows % len(self._labels)])
                return self._engine.place(batch, local=True)

            yield from ahead(place, mine)

    def plan(self, order: Any, valid: Any) -> Generator[EvalPlan | EvalBatch, None, None]:
        """Yield a batch for each step; see `Examples`."""
        mine = self._mine(order)
        with self._read(self._stream, mine) as read:

            def place(row: tuple[np.ndarray, np.ndarray]) -> EvalPlan | EvalBatch:
                rows, counts = row
                batch = EvalBatch(next(read), self._labels[rows], counts)
                return self._engine.place(batch, local=True)

            yield from ahead(place, zip(mine, self._mine(valid), strict=True))

    def _read(
        self, stream: ImageStream, rows: np.ndarray, crop: tuple[int, int] | None = None
    ) -> AbstractContextManager[Iterator[np.ndarray]]:
        return read_ahead(stream, rows.reshape(-1), batch=max(1, rows.shape[1]), crop=crop)

    def _mine(self, table: Any) -> np.ndarray:
        """Return the columns `[steps, batch]` that this process's devices take."""
        host = np.asarray(table)
        return host[:, self._engine.local_part(host.shape[1])]


def open_examples(
    sets: Sequence[Arrays | ImageStream], engine: Engine, resident_gigabytes: float, seed: int
) -> list[Examples]:
    """Return where the steps take the examples of each data set from.

    Args:
        sets: the data sets.
        engine: the devices.
        resident_gigabytes: arrays that are no larger together, in 10⁹ bytes, are kept on the
            devices.
        seed: of the random crops of streams.
    """
    size = sum(data.images.nbytes for data in sets if isinstance(data, Arrays))
    in_memory = Resident if size <= 1e9 * resident_gigabytes else Streamed
    return [
        in_memory(data, engine) if isinstance(data, Arrays) else FromFiles(data, engine, seed)
        for data in sets
    ]


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
