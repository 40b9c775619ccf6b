"""Networks for evaluation alone: the batch normalisations are part of the convolutions.

References:
    Jacob et al. 2017, https://arxiv.org/abs/1712.05877 (section 3.2)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from ..ops import fuse_convolutions
from ..ops.dtypes import float32_or_wider
from .norm_places import find_norms, is_conv, is_norm


class FoldedNetwork(nn.Module):
    """A network in evaluation mode whose batch normalisations are folded.

    `fold_batch_norm` makes it and its variables. Of a normalisation that is part of a convolution
    nothing is left; the convolution has a bias. Of any other one the running statistics are part
    of `scale` and `bias`. All other variables are those of the network, under the same names.

    Attributes:
        model: the network.
    """

    model: nn.Module

    def __call__(self, x: Array, train: bool = False) -> Any:
        """Return what the network returns, such as logits `[batch, classes]`.

        Args:
            x: images `[batch, height, width, channels]`, floating point, normalised.
            train: must be False.

        Raises:
            ValueError: in training, or if the network is to be initialised.
        """
        return self._evaluate("__call__", x, train)

    def features(self, x: Array, train: bool = False) -> Any:
        """Return what the method `features` of the network returns; see `ResNet.features`.

        Args:
            x: images `[batch, height, width, channels]`, floating point, normalised.
            train: must be False.

        Raises:
            ValueError: in training.
        """
        return self._evaluate("features", x, train)

    def _evaluate(self, method: str, x: Array, train: bool) -> Any:
        if train or self.is_initializing():
            what = "trained" if train else "initialised"
            raise ValueError(
                f"a network with folded batch normalisations cannot be {what}; use the one that "
                "`fold_batch_norm` was given"
            )
        model = self.model.clone(parent=None)

        def run(variables: Mapping[str, Any], x: Array) -> Any:
            with nn.intercept_methods(_replace):
                return model.apply(variables, x, train=False, method=method)

        return fuse_convolutions(run)(self.variables, x)


def fold_batch_norm(
    model: nn.Module, variables: Mapping[str, Any]
) -> tuple[FoldedNetwork, dict[str, Any]]:
    """Return a network in evaluation mode that gives the same results with less work.

    Each `BatchNorm` that alone reads the result of a `Conv` becomes part of it: with the scale γ,
    the bias β, the running mean μ and the running variance σ² the kernel is multiplied by
    γ / √(σ² + ε) for each output channel, and the convolution has the bias β - μ · γ / √(σ² + ε).
    Every other one, such as those that begin a pre-activated block, becomes a scale and a shift of
    its channels. Other normalisations stay as they are.

    On the CPU the bias, the residual sum and the ReLU behind a convolution become part of it, too,
    where oneDNN is used; on a GPU XLA makes one call of cuDNN of them.

    Args:
        model: a `ResNet`, or a module around one, which is called as `model(x, train=False)`.
        variables: its `params` and `batch_stats`; they may be traced.

    Returns:
        The network and its variables, of the same dtypes.

    Raises:
        ValueError: if `model` is folded already, or if the variables are not all those of the
            model.

    >>> from resnet_jax import BasicBlock, ResNet
    >>> model = ResNet(BasicBlock, (1, 1, 1, 1), num_classes=10, base_planes=8)
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> folded, fewer = fold_batch_norm(model, variables)
    >>> sorted(fewer["params"]["layer1_0"]), sorted(fewer["params"]["layer1_0"]["conv1"])
    (['conv1', 'conv2'], ['bias', 'kernel'])
    >>> folded.apply(fewer, jnp.zeros((2, 32, 32, 3))).shape
    (2, 10)
    """
    if isinstance(model, FoldedNetwork):
        raise ValueError("the batch normalisations of `model` are folded already")
    if "params" not in variables:
        raise ValueError(
            f"`variables` must have the collection `params`, not only {sorted(variables)}"
        )
    norms = find_norms(model, variables)
    flat = {path: _known(leaf) for path, leaf in flatten_dict(variables).items()}
    for path, norm in norms.items():
        for kind, leaf in (("params", "scale"), ("batch_stats", "mean")):
            if (kind, *path, leaf) not in flat:
                raise ValueError(
                    f"`variables` must have {kind}/{'/'.join((*path, leaf))}, as `model.init` "
                    "makes it and `fold_batch_norm` takes it away"
                )
        scale, bias = (flat.pop(("params", *path, name)) for name in ("scale", "bias"))
        mean, var = (flat.pop(("batch_stats", *path, name)) for name in ("mean", "var"))
        factor = scale * (var + norm.epsilon) ** -0.5
        bias = (bias - mean * factor).astype(bias.dtype)
        if norm.conv is None:
            flat[("params", *path, "scale")] = factor.astype(scale.dtype)
            flat[("params", *path, "bias")] = bias
        else:
            name = ("params", *norm.conv, "kernel")
            flat[name] = (flat[name] * factor[None, None, None, :]).astype(flat[name].dtype)
            flat[("params", *norm.conv, "bias")] = bias
    arrays = {path: jnp.asarray(leaf) for path, leaf in flat.items()}
    return FoldedNetwork(model), unflatten_dict(arrays)


def _known(leaf: Any) -> Any:
    """Return an array with which arithmetic is done at once, if its values are known."""
    return leaf if isinstance(leaf, jax.core.Tracer) else np.asarray(leaf)


def _replace(
    next_method: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    context: nn.module.InterceptorContext,
) -> Any:
    """Apply a convolution with its bias, or what is left of a batch normalisation."""
    module = context.module
    if is_conv(context):
        y = next_method(*args, **kwargs)
        return _add(y, module) if module.has_variable("params", "bias") else y
    if not is_norm(context):
        return next_method(*args, **kwargs)
    if module.has_variable("batch_stats", "mean"):
        raise ValueError(
            "the variables of a network with folded batch normalisations must be those that "
            f"`fold_batch_norm` returned; these have running statistics of {module.name!r}"
        )
    x = args[0]
    dtype = x.dtype if module.dtype is None else module.dtype
    if module.has_variable("params", "scale"):
        scale: Array = module.get_variable("params", "scale")[None, None, None, :]
        x = _add(x.astype(float32_or_wider(x.dtype)) * scale, module)
    return x.astype(dtype)


def _add(y: Array, module: nn.Module) -> Array:
    """Add a module's bias to a map, in the dtype of the map."""
    return y + module.get_variable("params", "bias").astype(y.dtype)[None, None, None, :]
