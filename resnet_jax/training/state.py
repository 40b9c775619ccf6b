"""What a training step carries from one step to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jax import Array

from .learning_rate import get_learning_rate, has_learning_rate
from .scalars import check_scalar


@struct.dataclass
class TrainState:
    """A pytree of everything that training changes.

    Attributes:
        step: optimizer steps done, a scalar.
        params: the model's parameters.
        batch_stats: the model's running statistics; empty for a model without any.
        opt_state: the optimizer's state.
        ema: moving averages of params and batch_stats, `{"params", "batch_stats"}`; empty
            if none are kept.
    """

    step: Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState
    ema: Any = struct.field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """The variables to evaluate with `model.apply`: the averages, if they are kept."""
        return self.ema or {"params": self.params, "batch_stats": self.batch_stats}


def create_state(
    model: nn.Module,
    tx: optax.GradientTransformation,
    key: Array,
    shape: tuple[int, ...],
    *,
    variables: Mapping[str, Any] | None = None,
    ema: bool = False,
) -> TrainState:
    """Initialise a model and its optimizer.

    Args:
        model: a linen module, called with images.
        tx: the optimizer.
        key: a random key.
        shape: shape of the images, `[batch, height, width, channels]`.
        variables: variables to start from instead of new ones; they are copied.
        ema: whether to keep moving averages, which start at the variables.

    Raises:
        ValueError: if `variables` are not the model's (the message names the first difference), or
            if the optimizer's learning rate is not a scalar.
    """

    def initialise(key: Array) -> Mapping[str, Any]:
        return model.init(key, jnp.zeros(shape, jnp.float32))

    def begin(variables: Mapping[str, Any]) -> TrainState:
        params, batch_stats = variables["params"], variables.get("batch_stats", {})
        with jax.numpy_dtype_promotion("standard"):  # which optax takes for granted
            opt_state = tx.init(params)
        if has_learning_rate(opt_state):
            check_scalar("learning_rate", get_learning_rate(opt_state))
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            ema={"params": params, "batch_stats": batch_stats} if ema else {},
        )

    if variables is None:
        return jax.jit(lambda key: begin(initialise(key)))(key)
    _check_variables(variables, jax.eval_shape(initialise, key))
    return jax.jit(begin)(variables)


def _check_variables(variables: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise unless two trees have the same paths with the same shapes and types."""
    found, wanted = _describe_leaves(variables), _describe_leaves(expected)
    for path in sorted(found.keys() | wanted.keys()):
        if found.get(path) != wanted.get(path):
            raise ValueError(
                f"`variables` has {found.get(path, 'nothing')} at {path}, where the model has "
                f"{wanted.get(path, 'nothing')}; give variables of the same model"
            )


def _describe_leaves(tree: Any) -> dict[str, str]:
    """Return the type and shape of each leaf, by its path."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): (
            f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}"
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
