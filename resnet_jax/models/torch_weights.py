"""Conversion between a torch state dict with torchvision's names and Flax variables.

Torch itself is not needed: a state dict may hold tensors or NumPy arrays.
"""

from __future__ import annotations

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
from .torch_names import (
    Tensor,
    canonical,
    counter_of,
    counters,
    first_kernel,
    tensors_of,
    torch_axes,
)

Variables = dict[str, Any]


def from_torch(
    model: ResNet,
    state_dict: Mapping[str, Any],
    *,
    head: Literal["strict", "reinit"] = "strict",
    key: Array | None = None,
) -> Variables:
    """Return the variables of `model` that a torch state dict holds.

    The names are torchvision's; `down_sample` is read as `downsample`, and the prefixes `module.`
    and `_orig_mod.` are removed. The image's channels are those of the first kernel, `conv1.weight`
    in torchvision's networks. `num_batches_tracked` is optional and ignored: with a fixed momentum
    torch does not use it either. All other names must be those of the model, without exception.

    Args:
        model: the module that the variables are for.
        state_dict: torch tensors or NumPy arrays by name; copied, never aliased.
        head: `"strict"` reads `fc`; `"reinit"` ignores it and initialises a new head, for another
            `num_classes`.
        key: key of the new head with `head="reinit"`; None is `jax.random.key(0)`.

    Returns:
        `params` and `batch_stats` as JAX arrays, float32 or, with `jax_enable_x64`, float64
        where the state dict has float64; half precision becomes float32, which is exact.

    Raises:
        WeightsError: if the tensors do not fit; it names a few of the missing and the unexpected
            ones, of those of the wrong shape, and of those that are not floating point or have
            NaN or infinite values.
        ValueError: if `head` is neither of the two.
    """
    if head not in ("strict", "reinit"):
        raise ValueError(f"`head` (={head!r}) must be 'strict' or 'reinit'")
    misfit = Misfit()
    given: dict[str, np.ndarray] = {}
    for original, value in state_dict.items():
        name = canonical(original)
        if name in given:
            misfit.repeated.append(f"{original} (as {name})")
        given[name] = _numpy(value)

    expected = _for_images_of(given, model, tensors_of(model))
    if head == "reinit":
        fresh = {name: leaf for name, leaf in expected.items() if name.startswith("fc.")}
        expected = {name: leaf for name, leaf in expected.items() if name not in fresh}
        given = {name: value for name, value in given.items() if not name.startswith("fc.")}
    optional = set(counters(expected))
    misfit.compare({n: v for n, v in given.items() if n not in optional}, expected)
    misfit.find_not_finite({name: given[name] for name in expected if name in given})
    if any(name.startswith("fc.") for name in misfit.notes.get("wrong shape", ())):
        misfit.advice = 'head="reinit" starts a new `fc` for another number of classes'
    misfit.raise_if_any("the state dict does not fit the model")

    flat = {
        leaf.path: jnp.array(_at_least_float32(_flax_layout(given[name])))
        for name, leaf in expected.items()
    }
    if head == "reinit":
        features = fresh["fc.weight"].shape[1]
        key = jax.random.key(0) if key is None else key
        params = Dense(model.num_classes).init(key, jnp.zeros((1, features)))["params"]
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
        known.get(path, "/".join(path)): _torch_layout(_numpy(value))
        for path, value in flat.items()
    }
    expected = _for_images_of(given, model, expected)
    misfit = Misfit()
    misfit.compare(given, expected)
    misfit.raise_if_any("the variables do not fit the model")

    state_dict = {}
    for name in expected:
        state_dict[name] = np.ascontiguousarray(_at_least_float32(given[name]))
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


def _numpy(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # Torch cannot convert bfloat16 to NumPy.
        value = value.float() if value.is_floating_point() and value.itemsize < 4 else value
        return np.asarray(value.numpy())
    return np.asarray(value)


def _at_least_float32(array: np.ndarray) -> np.ndarray:
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _flax_layout(array: np.ndarray) -> np.ndarray:
    return array.transpose(np.argsort(torch_axes(array.ndim)))


def _torch_layout(array: np.ndarray) -> np.ndarray:
    return array.transpose(torch_axes(array.ndim))
