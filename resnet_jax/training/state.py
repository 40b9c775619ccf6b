"""What a training step carries from one step to the next."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jax import Array


@struct.dataclass
class TrainState:
    """A pytree of everything that training changes.

    Attributes:
        step: optimizer steps done, a scalar.
        params: the model's parameters.
        batch_stats: its running statistics; empty for a model without any.
        opt_state: the optimizer's state.
    """

    step: Array
    params: Any
    batch_stats: Any
    opt_state: optax.OptState

    @property
    def variables(self) -> dict[str, Any]:
        """What ``model.apply`` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def create_state(
    model: nn.Module, tx: optax.GradientTransformation, key: Array, shape: tuple[int, ...]
) -> TrainState:
    """Initialises a model and its optimizer.

    Args:
        model: a linen module, called with images.
        tx: the optimizer.
        key: a random key.
        shape: of the images, ``[batch, height, width, channels]``.
    """

    @jax.jit
    def init(key: Array) -> TrainState:
        variables = model.init(key, jnp.zeros(shape, jnp.float32))
        params = variables["params"]
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=variables.get("batch_stats", {}),
            opt_state=tx.init(params),
        )

    return init(key)
