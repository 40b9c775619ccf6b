"""The loss per example, and the labels that a loss takes."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from ..ops.dtypes import class_numbers
from .scalars import number

LossFunction = Callable[[Array, Array], Array]
"""From logits `[batch, classes]` and labels to one loss per example, `[batch]`."""


def cross_entropy(logits: Array, labels: Array, *, label_smoothing: float = 0.0) -> Array:
    """Return the cross-entropy per example, `[batch]`, in nats.

    An integer that is no class raises an error outside of a transformation, and gives NaN inside
    of one, where values cannot be read.

    Args:
        logits: `[batch, classes]`.
        labels: `[batch]` integers in `[0, classes)`, or `[batch, classes]` probabilities.
        label_smoothing: the part of each label that is spread over all classes, in [0, 1).

    Raises:
        ValueError: if the labels have another shape, `[batch]` labels are not integers, or one of
            them is no class; or if `label_smoothing` is out of range.

    References:
        https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html;
        Szegedy et al. 2015, https://arxiv.org/abs/1512.00567 (label smoothing)
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    label_smoothing = number("label_smoothing", label_smoothing)
    if not 0.0 <= label_smoothing < 1.0:
        raise ValueError(f"`label_smoothing` (={label_smoothing}) must be at least 0 and below 1")
    check_labels(labels, logits)
    classes = logits.shape[-1]
    if labels.ndim == 2:
        with jax.numpy_dtype_promotion("standard"):  # the two may be of any type
            return optax.losses.softmax_cross_entropy(logits, _smooth(labels, label_smoothing))
    labels = class_numbers(labels)
    if label_smoothing:
        one_hot = jax.nn.one_hot(labels, classes, dtype=logits.dtype)
        losses = optax.losses.softmax_cross_entropy(logits, _smooth(one_hot, label_smoothing))
    else:
        losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
    # A negative label would be counted from the end, or be no class at all.
    return jnp.where((labels >= 0) & (labels < classes), losses, jnp.nan)


def _smooth(labels: Array, smoothing: float) -> Array:
    """Spread a part of each label over all classes."""
    return (1.0 - smoothing) * labels + smoothing / labels.shape[-1]


def is_correct(logits: Array, labels: Array) -> Array:
    """Return whether each greatest logit is the label's, bool `[batch]`.

    Among logits of which one is NaN none is the greatest.

    Args:
        logits: `[batch, classes]`.
        labels: `[batch]` integers of any type.
    """
    labels = class_numbers(jnp.asarray(labels))
    same = jnp.argmax(logits, -1).astype(labels.dtype) == labels
    return same & ~jnp.isnan(logits).any(-1)


def check_labels(labels: Array, logits: Array, *, integers_only: bool = False) -> None:
    """Raise unless labels are `[batch]` integers or `[batch, classes]` like the logits.

    In a transformation only shapes and types are read, so that the check costs nothing in a
    compiled step. Outside of one, integers must be classes, too.

    Args:
        labels: the labels of a batch.
        logits: `[batch, classes]`.
        integers_only: refuse `[batch, classes]` as well.

    Raises:
        ValueError: naming the labels' type and shape, or the first label that is no class.
    """
    found, shape = jnp.shape(labels), jnp.shape(logits)
    if len(shape) != 2:
        raise ValueError(f"`logits` (of shape {list(shape)}) must be [batch, classes]")
    if found == shape[:1] and jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        _check_classes(labels, shape[-1])
        return
    if found == shape and not integers_only:
        return
    wanted = f"integers of shape {list(shape[:1])}"
    if not integers_only:
        wanted += f" or probabilities of shape {list(shape)}"
    raise ValueError(
        f"`labels` ({jnp.result_type(labels)}{list(found)}) must be {wanted}, "
        f"for logits of shape {list(shape)}"
    )


def _check_classes(labels: Array, classes: int) -> None:
    """Raise unless every label is a class, where the values can be read.

    Raises:
        ValueError: naming the first label that is not.
    """
    if isinstance(labels, jax.core.Tracer) or not getattr(labels, "is_fully_addressable", True):
        return
    values = np.asarray(labels)
    wrong = np.flatnonzero((values < 0) | (values >= classes))
    if wrong.size:
        raise ValueError(
            f"`labels[{wrong[0]}]` (={values[wrong[0]]}) must be in [0, {classes}), the classes of "
            f"the logits; the same is true of {wrong.size} labels in all"
        )
