"""One interface over the two ways to use several devices: `jit` over a mesh, and `pmap`.

Both share out the batch, keep the state whole on every device, and run the same body on each
device's share, which names its reductions over a mapped axis: those of the gradients, which the
compiler combines, and one for each BatchNorm and direction. The devices may belong to several
processes (see `run.processes`): each then runs the same program and supplies what its devices hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import jax
import numpy as np
from flax import linen as nn
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")
Parallel = Literal["auto", "jit", "pmap"]
"""How a step uses several devices; `"auto"` is `"jit"`."""


@dataclass(frozen=True)
class Engine:
    """Devices, and the way a step uses them.

    Attributes:
        parallel: `"jit"` or `"pmap"`.
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
        """Choose the devices.

        Args:
            parallel: `"auto"` is `"jit"`.
            devices: None takes those of all processes.
            axis_name: of the mesh and of the mapped axis.

        Raises:
            ValueError: if `parallel` is none of them.
        """
        if parallel not in ("auto", "jit", "pmap"):
            raise ValueError(f"`parallel` (={parallel!r}) must be 'auto', 'jit' or 'pmap'")
        if devices is None:
            # A process's devices side by side, so that its part of a batch is one block.
            devices = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
        mesh = Mesh(np.asarray(devices), (axis_name,), axis_types=(AxisType.Auto,))
        return cls("pmap" if parallel == "pmap" else "jit", mesh)

    @property
    def num_devices(self) -> int:
        """The number of devices in the mesh."""
        return self.mesh.size

    @property
    def axis_name(self) -> str:
        """The name of the mesh's axis."""
        return self.mesh.axis_names[0]

    @property
    def mapped_axis(self) -> str | None:
        """The axis that a step must reduce over; None if one device holds the whole batch."""
        return None if self.parallel == "jit" and self.num_devices == 1 else self.axis_name

    def check_batch_size(self, batch_size: int, accumulate_steps: int = 1) -> None:
        """Raise if the devices cannot share a training batch evenly.

        Args:
            batch_size: examples per step, over all devices.
            accumulate_steps: micro-batches per step.

        Raises:
            ValueError: naming the nearest sizes that work.
        """
        if accumulate_steps < 1:
            raise ValueError(f"`accumulate_steps` (={accumulate_steps}) must be at least 1")
        unit = self.num_devices * accumulate_steps
        rest = batch_size % unit
        if rest:
            below, above = batch_size - rest, batch_size - rest + unit
            sizes = f"{below} or {above}" if below else f"{above}"
            times = f" times `accumulate_steps` (={accumulate_steps})" * (accumulate_steps > 1)
            raise ValueError(
                f"`batch_size` (={batch_size}) must be divisible by the number of devices "
                f"(={self.num_devices}){times}; the nearest that work: {sizes}"
            )

    def bind(self, model: nn.Module, *, sync_batch_norm: bool = True) -> nn.Module:
        """Return the model as a step of this engine calls it.

        Args:
            model: the model; an `axis_name` that is None is set to the mapped axis, so that
                BatchNorm shares its statistics.
            sync_batch_norm: False leaves `axis_name` alone.
        """
        if self.mapped_axis is None or not sync_batch_norm:
            return model
        if getattr(model, "axis_name", "") is not None:
            return model
        return model.clone(axis_name=self.mapped_axis)

    def replicate(self, tree: Tree) -> Tree:
        """Put a whole tree on every device; every process gives the same."""
        return jax.tree.map(self.put, tree)

    def unreplicate(self, tree: Tree) -> Tree:
        """Return one copy of a tree of `replicate`, on the first device of this process."""

        def copy(leaf: jax.Array) -> jax.Array:
            shard = leaf.addressable_data(0)
            return shard if self.parallel == "jit" else shard[0]

        return jax.tree.map(copy, tree)

    def to_global(self, tree: Tree) -> Tree:
        """Return a tree of `replicate` as arrays over the mesh, which checkpoints take.

        When such a tree is saved, it depends on neither the engine nor the number of devices.
        """
        if self.parallel == "jit":
            return tree
        return jax.tree.map(lambda leaf: self._whole(np.asarray(leaf)), self.unreplicate(tree))

    def abstract(self, tree: Tree) -> Tree:
        """Return the shapes of `to_global`, for a tree of arrays or shapes."""
        sharding = self._sharding(-1)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
        )

    def place(self, batch: Tree, *, local: bool = False) -> Tree:
        """Put a batch on the devices, with its examples shared out.

        Args:
            batch: a `Batch`, `Epoch`, `EvalPlan` or `EvalBatch`, the same in every process.
            local: `batch` holds only this process's examples. The processes' examples follow
                each other in the order of the processes, equally many of each.
        """
        axes = batch.split_axes  # type: ignore[attr-defined]
        return jax.tree.map(lambda leaf, axis: self.put(leaf, axis, local=local), batch, axes)

    def local_part(self, batch_size: int) -> slice:
        """Return which examples of a batch `place` expects of this process with `local`.

        Args:
            batch_size: examples of all processes, divisible by the number of devices.
        """
        share = batch_size // self.num_devices
        mine = [at for at, device in enumerate(self.mesh.devices) if self._is_mine(device)]
        return slice(share * mine[0], share * (mine[-1] + 1))

    def share(self, key: jax.Array) -> jax.Array:
        """Put a random key where steps take it."""
        if self.parallel == "pmap":
            return key
        data = self._whole(np.asarray(jax.random.key_data(key)))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(key))

    def put(self, leaf: Any, axis: int = -1, *, local: bool = False) -> jax.Array:
        """Put one array on the devices: shared out along an axis, or whole on each (axis -1).

        Args:
            leaf: the array, the same in every process.
            axis: the axis that the devices share out.
            local: `leaf` holds only this process's part of the axis.
        """
        # A copy, because the caller may change its own afterwards.
        host = np.array(leaf)
        if self.parallel == "pmap":
            return self._put_mapped(host, axis, local)
        if axis < 0 or not local:
            return jax.make_array_from_callback(host.shape, self._sharding(axis), host.__getitem__)
        return jax.make_array_from_process_local_data(self._sharding(axis), host)

    def _whole(self, host: np.ndarray) -> jax.Array:
        """Return an array that is whole on every device of the mesh."""
        return jax.make_array_from_callback(host.shape, self._sharding(-1), host.__getitem__)

    def _put_mapped(self, host: np.ndarray, axis: int, local: bool) -> jax.Array:
        """Return an array with a leading axis over this process's devices, which `pmap` maps."""
        positions = [at for at, device in enumerate(self.mesh.devices) if self._is_mine(device)]
        if axis < 0:
            host = np.broadcast_to(host, (len(positions), *host.shape))
        else:
            count = len(positions) if local else self.num_devices
            parts = (*host.shape[:axis], count, host.shape[axis] // count, *host.shape[axis + 1 :])
            host = np.moveaxis(host.reshape(parts), axis, 0)
            host = host if local else host[positions]
        sharding = NamedSharding(self.mesh.local_mesh, PartitionSpec(self.axis_name))
        return jax.make_array_from_callback(host.shape, sharding, host.__getitem__)

    @staticmethod
    def _is_mine(device: jax.Device) -> bool:
        """Return whether a device belongs to this process."""
        return device.process_index == jax.process_index()

    def _spec(self, axis: int) -> PartitionSpec:
        """Return how an array is shared out along an axis; -1 for not at all."""
        return PartitionSpec() if axis < 0 else PartitionSpec(*[None] * axis, self.axis_name)

    def _sharding(self, axis: int) -> NamedSharding:
        """Return how an array is shared out over the mesh along an axis; -1 for not at all."""
        return NamedSharding(self.mesh, self._spec(axis))

    def compile_train(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Compile `body(state, batch, key) -> (state, metrics)`, donating the state."""
        if self.parallel == "jit":
            return jax.jit(
                self._on_each_device(body), donate_argnums=0, out_shardings=self._sharding(-1)
            )
        return jax.pmap(
            body,
            axis_name=self.axis_name,
            devices=self.mesh.devices.tolist(),
            in_axes=(0, 0, None),
            out_axes=(0, None),
            donate_argnums=0,
        )

    def compile_eval(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Compile `body(variables, plan, totals, key) -> totals`."""
        if self.parallel == "jit":
            return jax.jit(self._on_each_device(body), out_shardings=self._sharding(-1))
        return jax.pmap(
            body,
            axis_name=self.axis_name,
            devices=self.mesh.devices.tolist(),
            in_axes=(0, 0, 0, None),
        )

    def _on_each_device(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """Return the body over the mesh: its second argument is shared out, the rest is whole."""
        if self.mapped_axis is None:
            return body

        def over_mesh(first: Any, batch: Any, *rest: Any) -> Any:
            whole = PartitionSpec()
            shares = jax.tree.map(self._spec, batch.split_axes)
            mapped = jax.shard_map(
                body,
                mesh=self.mesh,
                in_specs=(whole, shares, *[whole] * len(rest)),
                out_specs=whole,
                # The body reduces its gradients itself, as under pmap.
                check_vma=False,
            )
            return mapped(first, batch, *rest)

        return over_mesh


def choose_engine(engine: Engine | None, parallel: Parallel | None) -> Engine:
    """Return the engine that is given, or one over all devices.

    Args:
        engine: the devices and how to use them.
        parallel: short for `engine=Engine.create(parallel)`.

    Raises:
        ValueError: if both are given, or if `parallel` is unknown.
    """
    if engine is None:
        return Engine.create("auto" if parallel is None else parallel)
    if parallel is not None:
        raise ValueError(f"give `parallel` (={parallel!r}) or `engine`, not both")
    return engine
