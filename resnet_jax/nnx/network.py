"""A linen ResNet as an NNX module, and the conversions between the two."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from .. import models

KINDS: Mapping[str, type[nnx.Variable]] = {"params": nnx.Param, "batch_stats": nnx.BatchStat}
"""The types of the variables, by linen's collections."""


class ResNet(nnx.Module):
    """A ResNet as an NNX module, for images `[batch, height, width, channels]`.

    Its parts have the names that they have in linen, such as `model.layer1_0.conv1.kernel`.
    Parameters are `nnx.Param`, running statistics `nnx.BatchStat`. The parts hold variables alone;
    what is computed with them is `linen`. For another head or another input make the network with
    other options, or take its maps by `features`.

    As NNX's own layers, a new network is in training mode: it normalises with the statistics of
    the batch and updates the running ones in place. `model.eval()` and `model.train()` change the
    mode, also of a network that is part of another module; `train` overrides it for one call.

    Attributes:
        linen: the network's linen module.
        use_running_average: whether the network is in evaluation mode.
        rngs: the random numbers of dropout; None where there is no dropout.

    >>> model = ResNet(models.resnet20(base_planes=4), rngs=nnx.Rngs(0))
    >>> model.eval()
    >>> model(jnp.ones((2, 8, 8, 3))).shape
    (2, 10)
    >>> model.layer1_0.bn1.mean.shape
    (4,)
    """

    def __init__(
        self,
        linen: models.ResNet,
        *,
        rngs: nnx.Rngs | None = None,
        in_channels: int = 3,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        """Initialise the variables, or take those that are given.

        Args:
            linen: the linen module.
            rngs: random numbers: `params` for the parameters, which are then those of
                `linen.init(rngs.params(), ...)`, and `dropout` if the network has dropout. Only
                with `variables` it may be None.
            in_channels: channels of the images, for new variables.
            variables: `params` and `batch_stats` in linen's form, which are copied; None makes
                new ones.

        Raises:
            ValueError: if neither `rngs` nor `variables` is given, or if the variables have other
                collections, or names that the module needs itself.
            TypeError: if the linen module is no `ResNet`, such as a folded network.
        """
        if not isinstance(linen, models.ResNet):
            raise TypeError(
                f"only a `ResNet` has an NNX form, a `{type(linen).__name__}` has none; convert "
                "the `ResNet` in it"
            )
        self.linen = _with_tuples(linen)
        self.use_running_average = False
        if variables is None:
            if rngs is None:
                raise ValueError("`rngs` (=None) must be given, such as nnx.Rngs(0)")
            image = jnp.zeros((1, 32, 32, in_channels), jnp.float32)
            variables = jax.jit(self.linen.init)(rngs.params(), image)
        has_dropout = self.linen.dropout and rngs is not None
        self.rngs = nnx.data(rngs["dropout"].fork() if rngs is not None and has_dropout else None)
        for name, part in _parts(variables).items():
            if hasattr(self, name):
                raise ValueError(f"`variables` has a part {name!r}, a name that the module needs")
            setattr(self, name, part)

    def __call__(
        self,
        x: Array,
        *,
        train: bool | None = None,
        rngs: nnx.Rngs | nnx.RngStream | Array | None = None,
    ) -> Array:
        """Return the logits, `[batch, num_classes]`.

        Args:
            x: images `[batch, height, width, channels]`, floating point, normalised.
            train: normalise with the batch's statistics, update the running ones, and drop; None
                takes the mode of the network.
            rngs: the random numbers of dropout; None takes those of the network.

        Raises:
            ValueError: if `x` does not have four axes, or other channels than the parameters.
            TypeError: if `x` is not floating point.
        """
        return self._apply("__call__", x, train, rngs)

    def features(
        self,
        x: Array,
        *,
        train: bool | None = None,
        rngs: nnx.Rngs | nnx.RngStream | Array | None = None,
    ) -> dict[str, Array]:
        """Return the maps of the stem and the stages, and the pooled vector of the last one.

        Args:
            x: images `[batch, height, width, channels]`, floating point, normalised.
            train: see `__call__`.
            rngs: see `__call__`.

        Returns:
            `stem`, `layer1`, `layer2`, …: `[batch, height', width', channels]`; `pooled`:
            `[batch, channels]`.

        Raises:
            ValueError: see `__call__`.
            TypeError: see `__call__`.
        """
        return self._apply("features", x, train, rngs)

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Set the mode of a copy that `nnx.view` makes.

        Args:
            use_running_average: whether it is in evaluation mode; None leaves it as it is.
        """
        if use_running_average is not None:
            self.use_running_average = use_running_average

    def _apply(
        self,
        method: str,
        x: Array,
        train: bool | None,
        rngs: nnx.Rngs | nnx.RngStream | Array | None,
    ) -> Any:
        """Return what a method of the linen module returns, and keep the running statistics."""
        train = not self.use_running_average if train is None else train
        variables = to_linen(self)[1]
        if not train:
            return self.linen.apply(variables, x, method=method)
        rngs = self.rngs if rngs is None else rngs
        rngs = rngs["dropout"] if isinstance(rngs, nnx.Rngs) else rngs
        key = rngs() if isinstance(rngs, nnx.RngStream) else rngs
        result, updates = self.linen.apply(
            variables,
            x,
            train=True,
            method=method,
            rngs={} if key is None else {"dropout": key},
            mutable=["batch_stats"],
        )
        nnx.update(self, updates.get("batch_stats", {}))
        return result

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def from_linen(
    model: models.ResNet, variables: Mapping[str, Any], *, rngs: nnx.Rngs | None = None
) -> ResNet:
    """Return a linen network as an NNX module in evaluation mode.

    Args:
        model: the linen module.
        variables: its `params` and `batch_stats`; they are copied.
        rngs: the random numbers of dropout; only training with dropout needs them.

    Raises:
        ValueError: if the variables have other collections.
        TypeError: if the model is no `ResNet`, such as a folded network.

    >>> linen = models.resnet20(base_planes=4)
    >>> variables = linen.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    >>> from_linen(linen, variables)(jnp.ones((2, 8, 8, 1))).shape
    (2, 10)
    """
    network = ResNet(model, rngs=rngs, variables=variables)
    network.eval()
    return network


def to_linen(network: ResNet) -> tuple[models.ResNet, dict[str, Any]]:
    """Return the linen module of an NNX network, and its variables.

    Args:
        network: the NNX module.

    Returns:
        The linen module and its `params` and `batch_stats`, which `to_torch`, `save_weights` and
        `save_pretrained` take: `to_torch(*to_linen(network))`. The arrays are those of the network.

    >>> network = ResNet(models.resnet20(base_planes=4), rngs=nnx.Rngs(0))
    >>> sorted(models.to_torch(*to_linen(network)))[:2]
    ['bn1.bias', 'bn1.num_batches_tracked']
    """
    trees = {
        collection: nnx.to_pure_dict(nnx.state(network, kind)) for collection, kind in KINDS.items()
    }
    return network.linen, {collection: tree for collection, tree in trees.items() if tree}


def _parts(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a network by name, each of which has its variables of all collections.

    Raises:
        ValueError: if there is another collection than those of `KINDS`.
    """
    parts: dict[str, Any] = {}
    for collection, tree in variables.items():
        if collection not in KINDS:
            raise ValueError(
                f"`variables` has the collection {collection!r}; NNX networks have only "
                f"{' and '.join(KINDS)}"
            )
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            *levels, last = [str(key.key) for key in path]
            inside = parts
            for level in levels:
                inside = inside.setdefault(level, {})
            inside[last] = KINDS[collection](jnp.array(leaf))
    return {name: _as_module(part) for name, part in parts.items()}


def _as_module(part: Any) -> Any:
    """Return nested dictionaries as modules."""
    if not isinstance(part, dict):
        return part
    return nnx.Dict({name: _as_module(inner) for name, inner in part.items()})


def _with_tuples(linen: models.ResNet) -> models.ResNet:
    """Return a linen module whose lists are tuples: static attributes must be hashable."""

    def frozen(value: Any) -> Any:
        return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value

    values = {field.name: getattr(linen, field.name) for field in dataclasses.fields(linen)}
    changed = {n: frozen(v) for n, v in values.items() if isinstance(v, list | tuple)}
    return linen.clone(**changed)
