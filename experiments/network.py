"""A trained network and its transform, from a run folder or from weights of elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from resnet_jax.data import ImageTransform, Transform
from resnet_jax.run import CheckpointChoice

from .class_names import Names, names_of_config, read_class_map
from .load_run import Run, open_run
from .options import DTYPES, VariantOrAuto
from .source_options import CropMode, Interpolation, named_weights


@dataclass(frozen=True)
class Network:
    """A trained network, ready to classify image files.

    Attributes:
        model: the network; averages over mirror images if its run was evaluated so.
        variables: its `params` and `batch_stats`.
        names: the names of each class, by its index.
        transform: makes the network's input of an image of any size.
        origin: where the weights come from, for people.
        notes: sentences on what was taken from the weights, passed over or assumed.
        crop_pct: size of the crop as a fraction of the resized image, where the weights say it; the
            sizes of the transform are rounded.
    """

    model: nn.Module
    variables: Mapping[str, Any]
    names: Names
    transform: ImageTransform
    origin: str
    notes: tuple[str, ...] = ()
    crop_pct: float | None = None

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each class that is shown."""
        return self.names.shown

    @property
    def channels(self) -> int:
        """The number of channels of the images."""
        return len(self.transform.mean)

    @property
    def normalise(self) -> Callable[[Array], Array]:
        """A function, for the device, from batches of `transform.pixels` to the network's input."""
        side, mean, std = self.transform.crop, self.transform.mean, self.transform.std
        return Transform(source=(side, side), resize=side, crop=side, mean=mean, std=std).center


@dataclass(frozen=True)
class NetworkOptions:
    """The network and how images are prepared for it."""

    weights: str | None = None
    """Folder with weights and config.json, weight file, or name such as timm/resnet50.a1_in1k."""
    run: Path | None = None
    """Run folder, instead of weights."""
    checkpoint: CheckpointChoice = "best"
    """Checkpoint of a run: of the best epoch by validation accuracy, or the last one."""
    variant: VariantOrAuto = "auto"
    """Depth and kind of the blocks of weights; auto is what their config.json says."""
    key: str | None = None
    """Entry of a checkpoint file that holds the network; None finds it."""
    prefix: str | None = None
    """Beginning of the names of a file that is to be ignored; None finds it."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type to compute in; auto is the run's own, and float32 for weights."""
    test_size: bool = False
    """Take the image size and crop_pct that weights were tested with, where they give any."""
    size: int | None = None
    """Height and width of the network's input, in pixels; None is the weights' own."""
    crop_pct: float | None = None
    """Size of the crop as a fraction of the resized image; None is the weights' own."""
    crop_mode: CropMode = "auto"
    """center, squash or border; auto is the weights' own."""
    interpolation: Interpolation = "auto"
    """Filter of the resize; auto is the weights' own."""
    class_map: Path | None = None
    """File with the names of the classes, a line for each, as in: n01440764 tench, Tinca tinca."""

    def check(self) -> None:
        """Find what is wrong with the options by themselves.

        Raises:
            ValueError: naming the option, its value and what would work.
        """
        if self.weights is None and self.run is None:
            raise ValueError("neither `weights` nor `run` is given; one of them says the network")
        if self.weights is not None and self.run is not None:
            raise ValueError(
                f"`weights` (={self.weights}) and `run` (={self.run}) are both given; leave one out"
            )
        other = "run" if self.weights is None else "weights"
        foreign = ("checkpoint",) if other == "weights" else ("variant", "key", "prefix")
        for name in (*foreign, *(("test_size",) if other == "run" else ())):
            if getattr(self, name) != getattr(NetworkOptions, name):
                raise ValueError(
                    f"`{name}` (={getattr(self, name)}) is of no use to `{other}`; leave it out"
                )
        if self.size is not None and self.size < 1:
            raise ValueError(f"`size` (={self.size}) must be at least 1")
        if self.crop_pct is not None and not 0 < self.crop_pct <= 1:
            raise ValueError(f"`crop_pct` (={self.crop_pct}) must be above 0 and at most 1")

    def build(self) -> Network:
        """Read the network.

        Raises:
            ValueError: if there is no such network, or the options do not fit it.
            OSError: if a file cannot be read.
        """
        if self.run is not None:
            run = open_run(self.run, self.checkpoint)
            if self.dtype != "auto":
                run = replace(run, model=run.model.clone(dtype=DTYPES[self.dtype]))
            network = network_of(run)
        else:
            network = self._from_weights(self.weights or "")
        if self.class_map is not None:
            names = read_class_map(self.class_map, len(network.class_names))
            network = replace(network, names=names)
        return replace(network, transform=self._override(network))

    def _from_weights(self, source: str) -> Network:
        from resnet_jax.pretrained import load_pretrained

        with named_weights(source, takes_runs=True):
            pretrained = load_pretrained(
                source,
                variant=None if self.variant == "auto" else self.variant,
                dtype=jnp.float32 if self.dtype == "auto" else DTYPES[self.dtype],
                key=self.key,
                prefix=self.prefix,
                test_size=self.test_size,
            )
        return Network(
            model=pretrained.model,
            variables=pretrained.variables,
            names=names_of_config(
                pretrained.class_names, pretrained.config, pretrained.model.num_classes
            ),
            transform=pretrained.transform,
            origin=f"weights of {pretrained.source}",
            notes=pretrained.notes,
            crop_pct=_crop_pct(pretrained.config["pretrained_cfg"], test_size=self.test_size),
        )

    def _override(self, network: Network) -> ImageTransform:
        """Return the network's transform with what the options say of it."""
        transform = network.transform
        crop = transform.crop if self.size is None else self.size
        crop_pct = network.crop_pct if self.crop_pct is None else self.crop_pct
        resize = transform.resize
        if self.crop_pct is not None or crop != transform.crop:
            exact = crop * resize / transform.crop if crop_pct is None else crop / crop_pct
            resize = max(crop, math.floor(exact))
        chosen: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("crop_mode", "interpolation")
            if getattr(self, name) != "auto"
        }
        return replace(transform, resize=resize, crop=crop, **chosen)


def _crop_pct(config: Mapping[str, Any], *, test_size: bool) -> float | None:
    """Return the fraction that an entry `pretrained_cfg` says, as `ImageTransform` takes it."""
    names = ("test_crop_pct", "crop_pct") if test_size else ("crop_pct",)
    return next((config[name] for name in names if config.get(name) is not None), None)


def network_of(run: Run) -> Network:
    """Return the network of a run, and its transform for images of any size.

    Args:
        run: a run of `open_run`.
    """
    from resnet_jax.evaluation import FlipAveraged

    return Network(
        model=FlipAveraged(run.model) if run.config.get("flip_test") else run.model,
        variables=run.variables,
        names=Names.of(run.data.class_names),
        transform=run.image_transform,
        origin=run.origin,
    )


def describe(transform: ImageTransform) -> str:
    """Return what a transform does, in one line for people.

    Args:
        transform: the transform.
    """
    edge = {"center": "the shortest edge", "squash": "both edges", "border": "the longest edge"}
    mean, std = (
        ", ".join(f"{value:g}" for value in values) for values in (transform.mean, transform.std)
    )
    return (
        f"images: {edge[transform.crop_mode]} resized to {transform.resize} px "
        f"({transform.interpolation}), {transform.crop} px in the middle, mean {mean}, std {std}"
    )
