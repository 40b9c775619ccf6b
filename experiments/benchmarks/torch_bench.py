"""The sides in torch: training step, forward pass, epoch and random crops."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .bench import ALLOCATOR, Bench, Loop
from .epoch import CROP, RESIZE
from .input_pipeline import MEAN, STD, pillow_jobs, random_images
from .torch_side import TorchTrainer


def facts() -> dict[str, Any]:
    """Return what torch computes on, and how: the device, its name and the versions beneath."""
    if not torch.cuda.is_available():
        return {"platform": "cpu", "threads": os.cpu_count()}
    return {
        "platform": "cuda",
        "chip": torch.cuda.get_device_name(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


class TorchBench(Bench):
    """A side in torch, on the GPU if torch finds one and otherwise on the CPU.

    In float32 a GPU may use TensorFloat-32 for convolutions and products, as XLA does, and the
    fastest of cuDNN's algorithms is searched for, likewise.

    Args:
        device: None chooses.
    """

    def __init__(self, device: str | None = None) -> None:
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._events: tuple[Any, ...] = ()
        if self.device == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision("high")
            torch.cuda.init()
            self._events = tuple(torch.cuda.Event(enable_timing=True) for _ in range(2))
        super().__init__()

    def enqueue(self, job: str) -> Loop:
        """Make the loop of a job, which need not wait for the device."""
        raise NotImplementedError

    def make(self, job: str) -> Loop:
        """Make the loop of a job; on a GPU it records an event at either end, and waits."""
        enqueue = self.enqueue(job)

        def loop(count: int) -> None:
            if not self._events:
                enqueue(count)
                return
            first, last = self._events
            first.record()
            enqueue(count)
            last.record()
            torch.cuda.synchronize()

        return loop

    def measure_peak(self, job: str, loop: Loop) -> tuple[int, str]:
        """Run a loop once and return its peak memory in bytes, and where that comes from."""
        if self.device != "cuda":
            return super().measure_peak(job, loop)
        torch.cuda.reset_peak_memory_stats()
        loop(1)
        return torch.cuda.max_memory_allocated(), ALLOCATOR

    def time_on_device(self, loop: Loop, count: int) -> float | None:
        """Run a loop and return the seconds between its two events; None on the CPU."""
        loop(count)
        if not self._events:
            return None
        first, last = self._events
        return first.elapsed_time(last) / 1e3

    def release(self) -> None:
        """Give the GPU's memory that is not in use back to the other sides."""
        if self.device == "cuda":
            torch.cuda.empty_cache()


class TorchSteps(TorchBench):
    """Training step and forward pass on random images.

    Args:
        variant: A name in `VARIANTS`.
        layout: A name in `LAYOUTS`.
        batch: Images.
        size: Side of an image, in pixels.
        dtype: `"float32"` or `"bfloat16"`.
        compiled: Whether `torch.compile` compiles the network.
        classes: The number of classes.
        device: None takes the GPU if torch finds one.
    """

    def __init__(
        self,
        *,
        variant: str,
        layout: str,
        batch: int,
        size: int,
        dtype: str = "float32",
        compiled: bool = False,
        classes: int = 10,
        device: str | None = None,
    ) -> None:
        super().__init__(device)
        self._trainer = TorchTrainer(
            variant, layout, classes=classes, device=self.device, dtype=dtype, compiled=compiled
        )
        rng = np.random.default_rng(0)
        pixels = rng.standard_normal((batch, 3, size, size), dtype=np.float32)
        self._images = self._trainer.images(torch.from_numpy(pixels))
        self._labels = torch.from_numpy(rng.integers(0, classes, batch)).to(self.device)

    def enqueue(self, job: str) -> Loop:
        """Make the loop of the job `"train step"` or `"forward"`."""
        trainer, images, labels = self._trainer, self._images, self._labels

        def loop(count: int) -> None:
            for _ in range(count):
                if job == "train step":
                    trainer.train(images, labels)
                else:
                    trainer.logits(images)

        return loop


class TorchEpoch(TorchBench):
    """An epoch of training on random images that are whole on the device.

    Each batch is resized and cropped at random there, as ours is.

    Args:
        variant: A name in `VARIANTS`.
        layout: A name in `LAYOUTS`.
        images: The number of images, of `input_pipeline.SOURCE` pixels.
        batch: Images a step.
        dtype: `"float32"` or `"bfloat16"`.
        compiled: Whether `torch.compile` compiles the network.
    """

    def __init__(
        self, *, variant: str, layout: str, images: int, batch: int, dtype: str, compiled: bool
    ) -> None:
        super().__init__()
        self._trainer = TorchTrainer(
            variant, layout, device=self.device, dtype=dtype, compiled=compiled
        )
        labels = np.random.default_rng(0).integers(0, 10, images)
        pixels = torch.from_numpy(random_images(images)).permute(0, 3, 1, 2)
        self._images, self._labels = (x.to(self.device) for x in (pixels, torch.from_numpy(labels)))
        self._batch = batch
        self._mean, self._std = (
            torch.tensor(values, device=self.device)[:, None, None] for values in (MEAN, STD)
        )

    def enqueue(self, job: str) -> Loop:
        """Make the loop of the only job."""
        del job

        def loop(count: int) -> None:
            for _ in range(count):
                order = torch.randperm(len(self._labels), device=self.device)
                for start in range(0, len(order) - self._batch + 1, self._batch):
                    rows = order[start : start + self._batch]
                    images = (random_crops(self._images[rows]) / 255 - self._mean) / self._std
                    self._trainer.train(self._trainer.images(images), self._labels[rows])

        return loop


class PillowTransform(TorchBench):
    """Random crops by Pillow, image by image; see `pillow_batch`.

    Args:
        batch: Images.
    """

    def __init__(self, *, batch: int) -> None:
        super().__init__("cpu")
        self._run = pillow_jobs(batches=(batch,))[str(batch)]

    def enqueue(self, job: str) -> Loop:
        """Make the loop of the only job."""
        del job

        def loop(count: int) -> None:
            for _ in range(count):
                self._run()

        return loop


def random_crops(pixels: Tensor) -> Tensor:
    """Resize and crop each image at random, on the device of the images.

    Args:
        pixels: uint8 `[batch, channels, height, width]`.

    Returns:
        float32 `[batch, channels, CROP, CROP]`, from 0 to 255.
    """
    count, channels, device = *pixels.shape[:2], pixels.device
    resized = nn.functional.interpolate(
        pixels.float(), size=(RESIZE, RESIZE), mode="bilinear", antialias=True
    )
    corners = torch.randint(RESIZE - CROP + 1, (2, count, 1), device=device)
    rows, columns = corners + torch.arange(CROP, device=device)
    return resized[
        torch.arange(count, device=device)[:, None, None, None],
        torch.arange(channels, device=device)[None, :, None, None],
        rows[:, None, :, None],
        columns[:, None, None, :],
    ]


def step_jobs(
    *, variant: str, layout: str, batch: int, size: int, jobs: tuple[str, ...]
) -> dict[str, Callable[[], Any]]:
    """Build a training step and a forward pass on random images."""
    steps = TorchSteps(variant=variant, layout=layout, batch=batch, size=size, device="cpu")
    return {job: partial(steps.make(job), 1) for job in jobs}
