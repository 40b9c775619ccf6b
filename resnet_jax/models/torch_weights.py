"""Conversion between a torch state dict with torchvision's names and Flax variables.

Torch itself is not needed: a state dict may hold tensors or NumPy arrays.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from .layers import Dense
from .misfit import Misfit
from .resnet import ResNet
from .tensor_values import at_least_float32, flax_layout, numpy_of, torch_layout
from .torch_names import (
    Tensor,
    canonical,
    counter_of,
    counters,
    first_kernel,
    tensors_of,
)
from .wrappers import find_network

Variables = dict[str, Any]
Head = Literal["strict", "reinit"]
_LOG = logging.getLogger("resnet_jax")


def from_torch(
    model: ResNet,
    state_dict: Mapping[str, Any],
    *,
    key: str | None = None,
    prefix: str | None = None,
    head: Head = "strict",
    head_key: Array | None = None,
) -> Variables:
    """Return the variables of `model` that a torch state dict holds.

    The names are torchvision's, those of a ResNet in transformers, or those of the repositories in
    `repository_names` that train on CIFAR; `down_sample` is read as `downsample`. The state dict
    may be an entry of a training's checkpoint, and its names may have a prefix, as
    DistributedDataParallel (`module.`), torch.compile (`_orig_mod.`), Lightning (`model.`), a
    backbone (`backbone.`) or MoCo (`module.encoder_q.`) gives them. The entry and the prefix under
    which most names are the model's are taken; where an average of the weights (`state_dict_ema`,
    `model_ema`, …) or a slow copy (`teacher.`, `encoder_k.`) lies beside the plain network, the
    plain one is. The logger `resnet_jax` says at level INFO what was taken and what was passed
    over.

    The image's channels are those of the first kernel, `conv1.weight` in torchvision's networks.
    `num_batches_tracked` is optional and ignored: with a fixed momentum torch does not use it
    either. All other names must be those of the model, without exception.

    Args:
        model: the module that the variables are for.
        state_dict: torch tensors or NumPy arrays by name, or a checkpoint with such an entry;
            copied, never aliased.
        key: the entry that holds the network, such as `"state_dict_ema"`; the levels of an inner
            one are joined by `/`. None finds it.
        prefix: what all names of the network begin with, such as `"encoder_q."`; names without it
            are passed over. None finds it.
        head: `"strict"` reads `fc`; `"reinit"` ignores it and initialises a new head, for another
            `num_classes`.
        head_key: key of the new head with `head="reinit"`; None is `jax.random.key(0)`.

    Returns:
        `params` and `batch_stats` as JAX arrays, float32 or, with `jax_enable_x64`, float64
        where the state dict has float64; half precision becomes float32, which is exact.

    Raises:
        WeightsError: if several places hold such a network, `key` or `prefix` is not found, or
            the tensors do not fit; it names a few of the missing and the unexpected ones, of those
            of the wrong shape, and of those that are not floating point or have NaN or infinite
            values.
        ValueError: if `head` is neither of the two.
        TypeError: if `key` is not a string.
    """
    variables, notes = read_network(
        model, state_dict, key=key, prefix=prefix, head=head, head_key=head_key
    )
    tell(notes)
    return variables


def tell(notes: tuple[str, ...]) -> None:
    """Write sentences to the log of the package, at level INFO."""
    for note in notes:
        _LOG.info("%s", note)


def check_choices(key: str | None, prefix: str | None, head: str) -> None:
    """Raise for arguments that no weights could fit.

    Args:
        key: the entry of a checkpoint.
        prefix: what the names of the network begin with.
        head: what to do with `fc`.

    Raises:
        ValueError: if `head` is unknown.
        TypeError: if `key` or `prefix` is not a string.
    """
    if head not in ("strict", "reinit"):
        raise ValueError(f"`head` (={head!r}) must be 'strict' or 'reinit'")
    if key is not None and not isinstance(key, str):
        raise TypeError(
            f"`key` (={key!r}) must be the name of a checkpoint's entry; the random key of a new "
            "head is `head_key`"
        )
    if prefix is not None and not isinstance(prefix, str):
        raise TypeError(f"`prefix` (={prefix!r}) must be what the names begin with, a string")


def read_network(
    model: ResNet,
    checkpoint: Mapping[str, Any],
    *,
    key: str | None,
    prefix: str | None,
    head: Head,
    head_key: Array | None,
) -> tuple[Variables, tuple[str, ...]]:
    """Return the variables that a checkpoint holds, and sentences on where they were found.

    Args:
        model: see `from_torch`.
        checkpoint: the `state_dict` of `from_torch`.
        key: see `from_torch`.
        prefix: see `from_torch`.
        head: see `from_torch`.
        head_key: see `from_torch`.

    Raises:
        WeightsError: see `from_torch`.
        ValueError: see `from_torch`.
        TypeError: see `from_torch`.
    """
    check_choices(key, prefix, head)
    expected = tensors_of(model)
    network = find_network(checkpoint, expected, key=key, prefix=prefix)
    variables = fill(model, expected, network.tensors, head=head, head_key=head_key)
    return variables, network.notes


def with_classes(expected: Mapping[str, Tensor], num_classes: int) -> dict[str, Tensor]:
    """Return the tensors of the same model for another number of classes.

    Args:
        expected: the model's tensors.
        num_classes: size of the logits.
    """
    return {
        name: Tensor(tensor.path, (num_classes, *tensor.shape[1:]))
        if name.startswith("fc.")
        else tensor
        for name, tensor in expected.items()
    }


def fill(
    model: ResNet,
    expected: dict[str, Tensor],
    tensors: Mapping[str, Any],
    *,
    head: Head,
    head_key: Array | None,
) -> Variables:
    """Return the variables that a network's tensors are.

    Args:
        model: see `from_torch`.
        expected: the model's tensors.
        tensors: the given ones by torchvision's names, but for levels that `canonical` removes.
        head: see `from_torch`.
        head_key: see `from_torch`.

    Raises:
        WeightsError: if the tensors do not fit.
    """
    misfit = Misfit()
    given: dict[str, np.ndarray] = {}
    for original, value in tensors.items():
        name = canonical(original)
        if name in given:
            misfit.repeated.append(f"{original} (as {name})")
        given[name] = numpy_of(value, name)

    expected = _for_images_of(given, model, expected)
    if head == "reinit":
        fresh = {name: leaf for name, leaf in expected.items() if name.startswith("fc.")}
        expected = {name: leaf for name, leaf in expected.items() if name not in fresh}
        given = {name: value for name, value in given.items() if not name.startswith("fc.")}
    optional = set(counters(expected))
    misfit.compare({n: v for n, v in given.items() if n not in optional}, expected)
    misfit.find_not_finite(given, expected)
    if {"fc.weight", "fc.bias"} & {*misfit.missing, *misfit.notes.get("wrong shape", ())}:
        misfit.advice = 'head="reinit" starts a new `fc`'
    elif misfit.unexpected and all(".downsample." in name for name in misfit.unexpected):
        misfit.advice = 'shortcut="projection" makes a network with convolutions in its shortcuts'
    misfit.raise_if_any("the state dict does not fit the model")

    flat = {
        leaf.path: jnp.array(at_least_float32(flax_layout(given[name])))
        for name, leaf in expected.items()
    }
    if head == "reinit":
        features = fresh["fc.weight"].shape[1]
        head_key = jax.random.key(0) if head_key is None else head_key
        vectors = jnp.zeros((1, features), jnp.float32)
        params = Dense(model.num_classes).init(head_key, vectors)["params"]
        flat |= {("params", "fc", name): value for name, value in params.items()}
    return unflatten_dict(flat)


def to_torch(
    model: ResNet, variables: Mapping[str, Any], *, num_batches_tracked: int = 0
) -> dict[str, np.ndarray]:
    """Return the torch state dict of a model's variables, the inverse of `from_torch`.

    Args:
        model: the module that the variables belong to.
        variables: its `params` and `batch_stats`.
        num_batches_tracked: training steps, as recorded for every BatchNorm; the variables do not
            count them, and torch uses the number only with `momentum=None`.

    Returns:
        Contiguous NumPy arrays by torchvision's names, in torchvision's order; int64 scalars for
        `num_batches_tracked`, the dtype of the variables (float32 at least) for all others.

    Raises:
        WeightsError: if the variables do not fit; it names a few of those that do not.

    >>> from resnet_jax import BasicBlock, ResNet
    >>> model = ResNet(BasicBlock, (1, 1, 1, 1), num_classes=10, base_planes=8)
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> state_dict = to_torch(model, variables)
    >>> list(state_dict)[:2], state_dict["layer2.0.downsample.0.weight"].shape
    (['conv1.weight', 'bn1.weight'], (16, 8, 1, 1))
    """
    flat = flatten_dict(variables)
    expected = tensors_of(model)
    known = {leaf.path: name for name, leaf in expected.items()}
    given = {
        known.get(path, "/".join(path)): torch_layout(numpy_of(value, "/".join(path)))
        for path, value in flat.items()
    }
    expected = _for_images_of(given, model, expected)
    misfit = Misfit()
    misfit.compare(given, expected)
    misfit.raise_if_any("the variables do not fit the model")

    state_dict = {}
    for name in expected:
        state_dict[name] = np.ascontiguousarray(at_least_float32(given[name]))
        if counter := counter_of(name):
            state_dict[counter] = np.array(num_batches_tracked, np.int64)
    return state_dict


def _for_images_of(
    given: Mapping[str, np.ndarray], model: ResNet, expected: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Return the model's tensors for images with the channels of the given first kernel."""
    first = first_kernel(expected)
    kernel = given.get(first)
    if kernel is None or kernel.ndim != 4 or kernel.shape[1] == expected[first].shape[1]:
        return expected
    return tensors_of(model, kernel.shape[1])
