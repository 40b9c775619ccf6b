"""A torch state dict with torchvision's names ↔ Flax variables.

A convolution's kernel is ``[out, in / groups, height, width]`` in torch and ``[height, width,
in / groups, out]`` here, a dense one ``[out, in]`` and ``[in, out]``; all else keeps its layout.
Torch itself is not needed: a state dict may hold tensors or NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from .layers import Dense
from .resnet import ResNet

Variables = dict[str, Any]

# Every part that a name may have besides numbers, in the order in which torchvision registers it.
_PARTS = (
    *("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "downsample"),
    *("layer1", "layer2", "layer3", "layer4", "fc"),
    *("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
)
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# Put around a network by DataParallel and DistributedDataParallel, and by torch.compile.
_WRAPPERS = ("module", "_orig_mod")


class WeightsError(ValueError):
    """Weights that do not fit the model, or a file that holds none."""


def from_torch(
    model: ResNet,
    state_dict: Mapping[str, Any],
    *,
    head: Literal["strict", "reinit"] = "strict",
    key: Array | None = None,
) -> Variables:
    """Returns the variables of ``model`` that a torch state dict holds.

    The names are torchvision's; ``down_sample`` is read as ``downsample``, and the wrappers
    ``module.`` and ``_orig_mod.`` are taken off. The input channels are those of
    ``conv1.weight``. ``num_batches_tracked`` may be there or not, and is not kept: with a fixed
    momentum torch does not use it either. Every other name must be there, and no further one.

    Args:
        model: the module that the variables are for.
        state_dict: torch tensors or NumPy arrays by name; copied, never aliased.
        head: ``"strict"`` reads ``fc``; ``"reinit"`` ignores the file's and initialises it, for
            another ``num_classes``.
        key: for ``head="reinit"``; None is ``jax.random.key(0)``.

    Returns:
        ``params`` and ``batch_stats`` as JAX arrays, float32 or, with ``jax_enable_x64``, float64
        where the state dict has float64; half precision becomes float32, which is exact.

    Raises:
        WeightsError: naming every missing, unexpected, mis-shaped or not floating tensor at once.
        ValueError: if ``head`` is neither of the two.
    """
    if head not in ("strict", "reinit"):
        raise ValueError(f"`head` (={head!r}) must be 'strict' or 'reinit'")
    misfit = _Misfit()
    given: dict[str, np.ndarray] = {}
    for original, value in state_dict.items():
        name = _canonical(original)
        if name in given:
            misfit.repeated.append(f"{original} (as {name})")
        given[name] = _numpy(value)

    stem = given.get("conv1.weight")
    expected = _expected(model, stem.shape[1] if stem is not None and stem.ndim == 4 else 3)
    if head == "reinit":
        fresh = {name: leaf for name, leaf in expected.items() if name.startswith("fc.")}
        expected = {name: leaf for name, leaf in expected.items() if name not in fresh}
        given = {name: value for name, value in given.items() if not name.startswith("fc.")}
    counters = set(_counters(expected))
    misfit.compare({n: v for n, v in given.items() if n not in counters}, expected)
    if any(name.startswith("fc.") for name in misfit.shapes):
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
    """Returns the torch state dict of a model's variables, the inverse of ``from_torch``.

    Args:
        model: the module that the variables belong to.
        variables: its ``params`` and ``batch_stats``.
        num_batches_tracked: the training steps that every BatchNorm is to claim; the variables
            do not count them, and torch uses the number only with ``momentum=None``.

    Returns:
        Contiguous NumPy arrays by torchvision's names, in torchvision's order; int64 scalars for
        ``num_batches_tracked``, the dtype of the variables (float32 at least) for all others.

    Raises:
        WeightsError: naming every missing, unexpected, mis-shaped or not floating variable.

    >>> from resnet_jax import BasicBlock, ResNet
    >>> model = ResNet(BasicBlock, (1, 1, 1, 1), num_classes=10, base_planes=8)
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> state_dict = to_torch(model, variables)
    >>> list(state_dict)[:2], state_dict["layer2.0.downsample.0.weight"].shape
    (['conv1.weight', 'bn1.weight'], (16, 8, 1, 1))
    """
    flat = flatten_dict(variables)
    stem = flat.get(("params", "conv1", "kernel"))
    expected = _expected(model, stem.shape[2] if stem is not None and stem.ndim == 4 else 3)
    known = {leaf.path: name for name, leaf in expected.items()}
    given = {
        known.get(path, "/".join(path)): _torch_layout(_numpy(value))
        for path, value in flat.items()
    }
    misfit = _Misfit()
    misfit.compare(given, expected)
    misfit.raise_if_any("the variables do not fit the model")

    state_dict = {
        name: np.ascontiguousarray(_at_least_float32(given[name])) for name in expected
    } | {name: np.array(num_batches_tracked, np.int64) for name in _counters(expected)}
    return {name: state_dict[name] for name in sorted(state_dict, key=_order)}


@dataclass(frozen=True)
class _Leaf:
    """Where a tensor is among the Flax variables, and its shape in torch's layout."""

    path: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass
class _Misfit:
    """All that is wrong with some tensors, said at once."""

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    dtypes: list[str] = field(default_factory=list)
    advice: str | None = None

    def compare(self, given: Mapping[str, np.ndarray], expected: Mapping[str, _Leaf]) -> None:
        self.missing += [name for name in expected if name not in given]
        self.unexpected += [name for name in given if name not in expected]
        for name, leaf in expected.items():
            if name not in given:
                continue
            array = given[name]
            if array.shape != leaf.shape:
                self.shapes.append(f"{name} is {array.shape}, the model's is {leaf.shape}")
            if not jnp.issubdtype(array.dtype, jnp.floating):
                self.dtypes.append(f"{name} is {array.dtype}")

    def raise_if_any(self, summary: str) -> None:
        lines = []
        for kind, names in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("there twice", self.repeated),
            ("other shape", self.shapes),
            ("not floating point", self.dtypes),
        ):
            if names:
                lines.append(f"{kind} ({len(names)}):" + "".join(f"\n    {name}" for name in names))
        if lines:
            if self.advice:
                lines.append(self.advice)
            raise WeightsError("\n  ".join([f"{summary}:", *lines]))


def _expected(model: ResNet, channels: int) -> dict[str, _Leaf]:
    """The model's tensors by torchvision's names, in its order, without the counters."""
    image = jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32)
    flat = flatten_dict(jax.eval_shape(model.init, jax.random.key(0), image))
    expected = {}
    for path, leaf in flat.items():
        kernel = {4: (3, 2, 0, 1), 2: (1, 0)}.get(leaf.ndim, (0,))
        shape = tuple(leaf.shape[axis] for axis in kernel)
        expected[_torch_name(path)] = _Leaf(path, shape)
    return {name: expected[name] for name in sorted(expected, key=_order)}


def _torch_name(path: tuple[str, ...]) -> str:
    """``params/layer1_0/downsample/bn/scale`` → ``layer1.0.downsample.1.weight``."""
    _, *modules, leaf = path
    # The package's GroupNorm wraps Flax's.
    parts = [part for module in modules if module != "GroupNorm_0" for part in module.split("_")]
    if "downsample" in parts:
        parts[-1] = {"conv": "0", "bn": "1"}.get(parts[-1], parts[-1])
    parts.append(_LEAVES.get(leaf, leaf))
    if not all(part in _PARTS or part.isdigit() for part in parts):
        raise WeightsError(
            f"the model's variable `{'/'.join(path)}` has no counterpart in a torch state dict; "
            "`norm_layer` must be BatchNorm or GroupNorm"
        )
    return ".".join(parts)


def _order(name: str) -> tuple[int, ...]:
    return tuple(int(p) if p.isdigit() else _PARTS.index(p) for p in name.split("."))


def _counters(names: Mapping[str, _Leaf]) -> list[str]:
    mean = ".running_mean"
    return [n.removesuffix(mean) + ".num_batches_tracked" for n in names if n.endswith(mean)]


def _canonical(name: str) -> str:
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    return ".".join("downsample" if part == "down_sample" else part for part in parts)


def _numpy(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # NumPy has no bfloat16 that torch would convert to.
        value = value.float() if value.is_floating_point() and value.itemsize < 4 else value
        return np.asarray(value.numpy())
    return np.asarray(value)


def _at_least_float32(array: np.ndarray) -> np.ndarray:
    return array if array.dtype == np.float64 else array.astype(np.float32)


def _flax_layout(array: np.ndarray) -> np.ndarray:
    return array.transpose({4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim, range(array.ndim)))


def _torch_layout(array: np.ndarray) -> np.ndarray:
    return array.transpose({4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, range(array.ndim)))
