"""One interface over the two ways to use several devices: ``jit`` over a mesh, and ``pmap``.

Both share out the batch and keep the state whole on every device. Under ``jit`` the compiler
inserts the reductions and BatchNorm's statistics are global by themselves; under ``pmap`` the
step names them, over a mapped axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")
Parallel = Literal["auto", "jit", "pmap"]


@dataclass(frozen=True)
class Engine:
    """Devices, and the way a step uses them.

    Attributes:
        parallel: ``"jit"`` or ``"pmap"``.
        mesh: the devices, on one axis.

    >>> engine = Engine.create("jit", devices=jax.devices()[:1])
    >>> engine.num_devices
    1
    """

    parallel: Literal["jit", "pmap"]
    mesh: Mesh

    @classmethod
    def create(
        cls,
        parallel: Parallel = "auto",
        *,
        devices: Sequence[jax.Device] | None = None,
        axis_name: str = "batch",
    ) -> Engine:
        """Chooses the devices.

        Args:
            parallel: ``"auto"`` is ``"jit"``.
            devices: None takes them all.
            axis_name: of the mesh and of the mapped axis.

        Raises:
            ValueError: for another ``parallel``.
        """
        if parallel not in ("auto", "jit", "pmap"):
            raise ValueError(f"`parallel` (={parallel!r}) must be 'auto', 'jit' or 'pmap'")
        devices = jax.devices() if devices is None else devices
        mesh = jax.make_mesh(
            (len(devices),), (axis_name,), axis_types=(AxisType.Auto,), devices=devices
        )
        return cls("pmap" if parallel == "pmap" else "jit", mesh)

    @property
    def num_devices(self) -> int:
        """Devices in the mesh."""
        return self.mesh.size

    @property
    def axis_name(self) -> str:
        """The name of the mesh's axis."""
        return self.mesh.axis_names[0]

    @property
    def mapped_axis(self) -> str | None:
        """The axis name that a step must reduce over; None where the compiler does it."""
        return self.axis_name if self.parallel == "pmap" else None

    def check_batch_size(self, batch_size: int) -> None:
        """Raises if the devices cannot share a training batch evenly.

        Raises:
            ValueError: naming the nearest sizes that would do.
        """
        rest = batch_size % self.num_devices
        if rest:
            below, above = batch_size - rest, batch_size - rest + self.num_devices
            sizes = f"{below} or {above}" if below else f"{above}"
            raise ValueError(
                f"`batch_size` (={batch_size}) must be divisible by the number of devices "
                f"(={self.num_devices}); the nearest that would do: {sizes}"
            )

    def bind(self, model: nn.Module) -> nn.Module:
        """The model with its ``axis_name`` set to the mapped axis, where it has none yet."""
        if self.mapped_axis is None or getattr(model, "axis_name", "") is not None:
            return model
        return model.clone(axis_name=self.mapped_axis)

    def replicate(self, tree: Tree) -> Tree:
        """Puts a tree whole on every device."""
        return jax.tree.map(self.put, tree)

    def unreplicate(self, tree: Tree) -> Tree:
        """One copy of a tree of ``replicate``."""
        if self.parallel == "jit":
            return tree
        return jax.tree.map(lambda leaf: leaf[0], tree)

    def place(self, batch: Tree) -> Tree:
        """Puts a batch (of ``training.batches``) on the devices, its examples shared out."""
        return jax.tree.map(self.put, batch, batch.split_axes)  # type: ignore[attr-defined]

    def share(self, key: jax.Array) -> jax.Array:
        """Puts a random key where steps take it."""
        return self.put(key) if self.parallel == "jit" else key

    def put(self, leaf: Any, axis: int = -1) -> jax.Array:
        """One array: shared out along an axis, or whole on every device (axis -1)."""
        if self.parallel == "jit":
            spec = PartitionSpec() if axis < 0 else PartitionSpec(*[None] * axis, self.axis_name)
            # A copy, because steps donate what they are given.
            return jax.device_put(leaf, NamedSharding(self.mesh, spec), may_alias=False)
        count = self.num_devices
        if axis < 0:
            leaf = jnp.broadcast_to(leaf, (count, *jnp.shape(leaf)))
        else:
            shape = leaf.shape
            parts = (*shape[:axis], count, shape[axis] // count, *shape[axis + 1 :])
            leaf = jnp.moveaxis(jnp.reshape(leaf, parts), axis, 0)
        return jax.device_put(leaf, NamedSharding(self.mesh, PartitionSpec(self.axis_name)))

    def compile_train(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles ``body(state, batch, key) -> (state, metrics)``, donating the state."""
        if self.parallel == "jit":
            replicated = NamedSharding(self.mesh, PartitionSpec())
            return jax.jit(body, donate_argnums=0, out_shardings=replicated)
        return jax.pmap(
            body,
            axis_name=self.axis_name,
            devices=self.mesh.devices.tolist(),
            in_axes=(0, 0, None),
            out_axes=(0, None),
            donate_argnums=0,
        )

    def compile_eval(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Compiles ``body(variables, plan, totals, key) -> totals``."""
        if self.parallel == "jit":
            replicated = NamedSharding(self.mesh, PartitionSpec())
            return jax.jit(body, out_shardings=replicated)
        return jax.pmap(
            body,
            axis_name=self.axis_name,
            devices=self.mesh.devices.tolist(),
            in_axes=(0, 0, 0, None),
        )
