"""Names, order and layouts of a model's tensors in a torch state dict.

The name of a tensor in torch is its path here with dots: `params/layer1_0/conv1/kernel` is
`layer1.0.conv1.weight`. An underscore before a number becomes a dot; the leaves have torch's names;
the modules `conv` and `bn` of a `downsample` are its `0` and `1`.

The kernel of a convolution is `[out, in / groups, height, width]` in torch and `[height, width,
in / groups, out]` here, that of a dense layer `[out, in]` and `[in, out]`; everything else keeps
its layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from jax import Array

from .folding import FoldedNetwork
from .resnet import ResNet

# In the order in which torch registers the tensors of a module.
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# Levels that DataParallel and DistributedDataParallel, and torch.compile, add to the names.
_WRAPPERS = ("module", "_orig_mod")


class WeightsError(ValueError):
    """Weights that do not fit the model, or a file that holds none."""


@dataclass(frozen=True)
class Tensor:
    """Path of a tensor among the Flax variables, and its shape in torch's layout."""

    path: tuple[str, ...]
    shape: tuple[int, ...]


def tensors_of(model: ResNet, channels: int = 3) -> dict[str, Tensor]:
    """Return the model's tensors by torch's names, without the counters of its BatchNorms.

    Torch orders modules as they are registered. Here they come in the order in which the model
    calls them, which is the same for a block that calls its shortcut last.

    Args:
        model: the module.
        channels: channels of the images.

    Raises:
        WeightsError: if the model is a folded one, or a variable has no name of its own in torch.
    """
    if isinstance(model, FoldedNetwork):
        raise WeightsError(
            "a network with folded batch normalisations has no form in torch; use the one that "
            "`fold_batch_norm` was given, and its variables"
        )
    paths: list[tuple[str, ...]] = []

    def init(image: Array) -> dict[tuple[str, ...], Array]:
        # JAX sorts the variables that pass through a transformation, such as that of `remat`.
        flat = flatten_dict(model.clone(remat=False).init(jax.random.key(0), image))
        paths.extend(flat)
        return flat

    shapes = jax.eval_shape(init, jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32))
    modules: dict[str, dict[str, Tensor]] = {}
    for path in paths:
        leaf = _LEAVES.get(path[-1])
        tensors = modules.setdefault(_module_name(path), {})
        if leaf is None:
            raise WeightsError(
                f"the model's variable `{'/'.join(path)}` has no counterpart in a torch state "
                f"dict; the last part of its path must be one of {', '.join(_LEAVES)}"
            )
        if leaf in tensors:
            raise WeightsError(
                f"the model's variables `{'/'.join(tensors[leaf].path)}` and `{'/'.join(path)}` "
                "must not have the same name in a torch state dict; rename one of their modules"
            )
        shape = shapes[path].shape
        tensors[leaf] = Tensor(path, tuple(shape[axis] for axis in torch_axes(len(shape))))
    return {
        f"{module}.{leaf}": tensors[leaf]
        for module, tensors in modules.items()
        for leaf in dict.fromkeys(_LEAVES.values())
        if leaf in tensors
    }


def first_kernel(tensors: Mapping[str, Tensor]) -> str:
    """Return the name of the kernel that is applied to the image: the first one."""
    return next(name for name, tensor in tensors.items() if tensor.path[-1] == "kernel")


def image_channels(model: ResNet, variables: Mapping[str, Any]) -> int:
    """Return the number of channels of the images that a model's variables are made for.

    Args:
        model: the module that the variables belong to.
        variables: its `params` and `batch_stats`.
    """
    tensors = tensors_of(model)
    return flatten_dict(variables)[tensors[first_kernel(tensors)].path].shape[-2]


def counter_of(name: str) -> str | None:
    """Return the name of the counter that follows a running variance; None for other tensors."""
    module, _, leaf = name.rpartition(".")
    return f"{module}.num_batches_tracked" if leaf == "running_var" else None


def counters(names: Iterable[str]) -> list[str]:
    """Return the names of all counters in a state dict with these tensors."""
    return [counter for counter in map(counter_of, names) if counter]


def canonical(name: str) -> str:
    """Return the name without wrappers, and with torchvision's spelling of `downsample`."""
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    return ".".join("downsample" if part == "down_sample" else part for part in parts)


def torch_axes(ndim: int) -> tuple[int, ...]:
    """Return the axes of an array here in torch's order; only kernels have more than one."""
    return (ndim - 1, ndim - 2, *range(ndim - 2)) if ndim > 1 else tuple(range(ndim))


def _module_name(path: tuple[str, ...]) -> str:
    """Turn `params/layer1_0/downsample/bn/scale` into `layer1.0.downsample.1`."""
    # The package's GroupNorm wraps Flax's.
    modules = [module for module in path[1:-1] if module != "GroupNorm_0"]
    if modules[-2:-1] == ["downsample"]:
        modules[-1] = {"conv": "0", "bn": "1"}.get(modules[-1], modules[-1])
    return re.sub(r"_(?=\d+(\.|$))", ".", ".".join(modules))
