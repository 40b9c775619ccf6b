"""A network with its weights, its transform and its names of classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from ..data import ImageTransform
from ..models import ResNet
from ..storage import whole_number

if TYPE_CHECKING:
    from .. import nnx


@dataclass(frozen=True)
class Pretrained:
    """A network that is ready to be applied, as `load_pretrained` returns it.

    Attributes:
        model: the module.
        variables: its `params` and `batch_stats`.
        transform: turns an image of any size into what the network takes.
        class_names: what the logits stand for; None if the source does not say it.
        config: the source's `config.json` in timm's nested form, or what it would be.
        source: where the network comes from.
        notes: sentences on what was taken, passed over or assumed.
        origin_notes: those of the notes that say what was read, and not what was made of it.
        has_transform: whether the source says its transform; otherwise it is the usual one of
            ImageNet.
    """

    # What is long is left out where a notebook shows the network.
    model: ResNet = field(repr=False)
    variables: dict[str, Any] = field(repr=False)
    transform: ImageTransform
    class_names: tuple[str, ...] | None = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)
    source: str
    notes: tuple[str, ...] = ()
    origin_notes: tuple[str, ...] = ()
    has_transform: bool = True

    def predict(
        self, image: Image.Image | np.ndarray | jax.Array, top: int = 5
    ) -> list[tuple[str, float]]:
        """Return the most probable classes of one image, by name and probability.

        Args:
            image: what the transform takes: a Pillow image, or uint8 `[height, width, channels]`.
            top: how many classes to return, at most.

        Returns:
            The classes from the most probable one on; a class without a name has its number.

        Raises:
            TypeError: if `top` is no whole number.
            ValueError: if `top` is below 1, or the transform does not accept the image.

        >>> from resnet_jax import BasicBlock, ResNet
        >>> model = ResNet(BasicBlock, (1, 1, 1, 1), num_classes=2, base_planes=8)
        >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
        >>> transform = ImageTransform(resize=40, crop=32)
        >>> network = Pretrained(model, variables, transform, ("cat", "dog"), {}, "here")
        >>> sorted(name for name, _ in network.predict(np.zeros((50, 60, 3), np.uint8)))
        ['cat', 'dog']
        """
        logits = jax.jit(self.model.apply)(self.variables, self.transform(image)[None])
        return most_probable(logits[0], self.class_names, top)


@dataclass(frozen=True)
class PretrainedNNX:
    """An NNX network that is ready to be called, as `load_pretrained(api="nnx")` returns it.

    Attributes:
        model: the module, in evaluation mode.
        transform: turns an image of any size into what the network takes.
        class_names: what the logits stand for; None if the source does not say it.
        config: the source's `config.json` in timm's nested form, or what it would be.
        source: where the network comes from.
        notes: sentences on what was taken, passed over or assumed.
        origin_notes: those of the notes that say what was read, and not what was made of it.
        has_transform: whether the source says its transform; otherwise it is the usual one of
            ImageNet.
    """

    model: nnx.ResNet = field(repr=False)
    transform: ImageTransform
    class_names: tuple[str, ...] | None = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)
    source: str
    notes: tuple[str, ...] = ()
    origin_notes: tuple[str, ...] = ()
    has_transform: bool = True

    def predict(
        self, image: Image.Image | np.ndarray | jax.Array, top: int = 5
    ) -> list[tuple[str, float]]:
        """Return the most probable classes of one image, by the present values of the model.

        Args:
            image: what the transform takes: a Pillow image, or uint8 `[height, width, channels]`.
            top: how many classes to return, at most.

        Returns:
            The classes from the most probable one on; a class without a name has its number.

        Raises:
            TypeError: if `top` is no whole number.
            ValueError: if `top` is below 1, or the transform does not accept the image.
        """
        from ..nnx import to_linen  # which those who use linen need not import

        linen, variables = to_linen(self.model)
        logits = jax.jit(linen.apply)(variables, self.transform(image)[None])
        return most_probable(logits[0], self.class_names, top)


def most_probable(
    logits: jax.Array, class_names: tuple[str, ...] | None, top: int
) -> list[tuple[str, float]]:
    """Return classes by name and probability, from the most probable one on.

    Args:
        logits: the logits of one image, `[classes]`.
        class_names: names of the classes; one without a name has its number.
        top: how many classes to return, at most.

    Raises:
        TypeError: if `top` is no whole number.
        ValueError: if it is below 1.
    """
    top = whole_number("top", top)
    probabilities = np.asarray(jax.nn.softmax(jnp.asarray(logits, jnp.float32)))
    best = np.argsort(-probabilities, kind="stable")[:top]
    names = dict(enumerate(class_names or ()))
    return [(names.get(index, str(index)), float(probabilities[index])) for index in best.tolist()]
