"""The loss per example, and the labels that a loss takes."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import Array

LossFunction = Callable[[Array, Array], Array]
"""From logits `[batch, classes]` and labels to one loss per example, `[batch]`."""


def cross_entropy(logits: Array, labels: Array, *, label_smoothing: float = 0.0) -> Array:
    """Return the cross-entropy per example, `[batch]`, in nats.

    Args:
        logits: `[batch, classes]`.
        labels: `[batch]` integers in `[0, classes)`, or `[batch, classes]` probabilities.
        label_smoothing: the part of each label that is spread over all classes, in [0, 1).

    Raises:
        ValueError: if the labels have another shape, or `[batch]` labels are not integers.

    References:
        https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html;
        Szegedy et al. 2015, https://arxiv.org/abs/1512.00567 (label smoothing)
    """
    check_labels(labels, logits)
    if labels.ndim == 1 and not label_smoothing:
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels)
    if labels.ndim == 1:
        labels = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    labels = (1.0 - label_smoothing) * labels + label_smoothing / logits.shape[-1]
    return optax.losses.softmax_cross_entropy(logits, labels)


def check_labels(labels: Array, logits: Array, *, integers_only: bool = False) -> None:
    """Raise unless labels are `[batch]` integers or `[batch, classes]` like the logits.

    Only shapes and types are read, so that the check costs nothing in a compiled step.

    Args:
        labels: the labels of a batch.
        logits: `[batch, classes]`.
        integers_only: refuse `[batch, classes]` as well.

    Raises:
        ValueError: naming the labels' type and shape.
    """
    found, shape = jnp.shape(labels), jnp.shape(logits)
    if found == shape[:1] and jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        return
    if found == shape and len(shape) == 2 and not integers_only:
        return
    wanted = f"integers of shape {list(shape[:1])}"
    if not integers_only:
        wanted += f" or probabilities of shape {list(shape)}"
    raise ValueError(
        f"`labels` ({jnp.result_type(labels)}{list(found)}) must be {wanted}, "
        f"for logits of shape {list(shape)}"
    )
