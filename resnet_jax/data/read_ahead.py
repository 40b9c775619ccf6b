"""Images of a stream in any order, decoded ahead by threads or processes: Grain over an order.

Where Grain cannot be imported, a pool of threads in this module does its part. On Linux and macOS
Grain imports array_record, whatever is read, and so is missing with it; images in files, tar files
and Parquet files can be read all the same.

Workers are started anew for each pass. Grain keeps them alive only to repeat the order that they
were started with (`RepeatIterDataset`), and each epoch has an order of its own, which would have to
reach workers that are running already. A start takes about a second, meanwhile nothing is read.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from multiprocessing import resource_tracker
from typing import Any

import numpy as np

from ..storage import first_line
from .image_stream import ImageStream

_logger = logging.getLogger(__name__)

AHEAD = 64
"""Decoded images that wait in this process, or together in the workers' queues, at least."""
_TOGETHER = 16
"""Most images that a worker gives at a time. Grain takes a millisecond for what it is given: half
the time of an image."""
_NEVER = 1 << 62
"""A size that no image has, in bytes."""


class Ordered:
    """The images of a stream in an order, a few at a time, as Grain takes them from a source.

    Args:
        stream: the images.
        rows: int `[n]`, positions in the stream.
        crop: seed and epoch of the random crops; None crops in the middle.
        together: images that are given at a time; fewer at the end.
    """

    def __init__(
        self,
        stream: ImageStream,
        rows: np.ndarray,
        crop: tuple[int, int] | None,
        together: int,
    ) -> None:
        self._stream, self._rows, self._crop, self._together = stream, rows, crop, together

    def __len__(self) -> int:
        return -(-len(self._rows) // self._together)

    def __getitem__(self, index: int) -> np.ndarray:
        rows = self._rows[index * self._together :][: self._together].tolist()
        if self._crop is None:
            return np.stack([self._stream.centered(row) for row in rows])
        return np.stack([self._stream.cropped(row, *self._crop) for row in rows])


@contextlib.contextmanager
def read_ahead(
    stream: ImageStream,
    rows: np.ndarray,
    *,
    batch: int,
    crop: tuple[int, int] | None = None,
    threads_only: bool = False,
) -> Iterator[Iterator[np.ndarray]]:
    """Read images in an order, and decode the next ones while these are used.

    The results are the same for any number of workers. In memory are, besides the two batches at
    the end, `max(AHEAD, threads)` images; with worker processes each has its own Python
    (some 200 MB) and holds up to `ceil(AHEAD / workers)` images and 64 more.

    Args:
        stream: the images.
        rows: int `[n]`, their positions, in the order in which they are wanted.
        batch: images that are given at a time; the last batch may be smaller.
        crop: seed and epoch of the random crops; None crops in the middle.
        threads_only: read in threads of this process, whatever the stream's `workers`.

    Yields:
        The batches, uint8 `[batch, side, side, channels]`. At the end of the block workers and
        threads are ended.

    Raises:
        ImageFileError: at its batch, if an image is damaged or too large.
        OSError: at its batch, if an image cannot be read.
    """
    grain = _import_grain()
    if grain is None:
        source = Ordered(stream, np.asarray(rows, np.int64), crop, 1)
        with contextlib.closing(_in_threads(source, batch)) as plain:
            yield plain
        return
    workers = 0 if threads_only else min(stream.workers, len(rows))
    # No image is read with those of another batch, so that an error comes at its own.
    together = next(n for n in range(_TOGETHER, 0, -1) if batch % n == 0) if workers else 1
    source = grain.MapDataset.source(Ordered(stream, np.asarray(rows, np.int64), crop, together))
    if workers:
        options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
        # Images cost half the time by a pipe: Grain makes a file of shared memory for each array,
        # of which containers have little, and leaves some behind.
        by_pipe = grain.experimental.DatasetOptions(min_shm_size=_NEVER)
        images = grain.experimental.WithOptionsIterDataset(
            source.to_iter_dataset(options), by_pipe
        ).mp_prefetch(
            grain.MultiprocessingOptions(
                workers, per_worker_buffer_size=-(-AHEAD // (workers * together))
            ),
            _begin_worker,
        )
    else:
        threads = min(os.cpu_count() or 1, len(rows)) or 1
        images = source.to_iter_dataset(grain.ReadOptions(threads, max(AHEAD, threads)))
    # Batches are made here: workers that make them would hold several each.
    iterator: Any = iter(grain.experimental.RebatchIterDataset(images, batch))
    try:
        yield _started_quietly(iterator) if workers else iterator
    finally:
        iterator.close()


@functools.cache
def _import_grain() -> Any:
    """Return the package Grain, which is slow to import and which only streams need.

    It is None where it cannot be imported, as without array_record, which it needs everywhere but
    on Windows.
    """
    try:
        import grain
        from absl import flags
    except ImportError as error:
        _logger.warning(
            "Grain cannot be imported (%s): images are read by threads, without workers",
            first_line(error),
        )
        return None
    if not flags.FLAGS.is_parsed():
        # Grain asks for flags of its own, which a program without absl's command line never reads.
        flags.FLAGS.mark_as_parsed()
    return grain


def _in_threads(source: Ordered, batch: int) -> Generator[np.ndarray, None, None]:
    """Yield the batches of an order where Grain cannot be imported; see the module's text."""
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads, thread_name_prefix="images") as pool:
        rest = iter(range(len(source)))
        waiting = deque(pool.submit(source.__getitem__, n) for n in islice(rest, AHEAD))
        try:
            while waiting:
                taken: list[np.ndarray] = []
                while waiting and len(taken) < batch:
                    taken.append(waiting.popleft().result())
                    waiting.extend(pool.submit(source.__getitem__, n) for n in islice(rest, 1))
                yield np.concatenate(taken)
        finally:
            pool.shutdown(cancel_futures=True)


def _started_quietly(iterator: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the items of an iterator whose first one starts processes."""
    with _signals_kept_from_children():
        first = next(iterator, None)
    if first is not None:
        yield first
        yield from iterator


def _begin_worker(index: int, count: int) -> None:
    """Let a worker end with the process that it works for, and with no signal but that."""
    del index, count
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _signals_kept_from_children() -> Iterator[None]:
    """Block Ctrl-C and SIGTERM in this thread, and so in the processes that it starts.

    A terminal sends Ctrl-C to all processes: a worker that is still starting would end by it
    before the run has saved its state.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # It unblocks both when it starts.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
