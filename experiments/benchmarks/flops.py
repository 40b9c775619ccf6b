"""Floating-point operations of a network, counted from its shapes, and the most a chip can do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

_A100, _H100_SXM, _H100_PCIE, _H100_NVL = 312e12, 989.5e12, 756.5e12, 835.5e12

PEAK_FLOPS: Mapping[str, float] = MappingProxyType(
    {
        "NVIDIA A100-SXM4-40GB": _A100,
        "NVIDIA A100-SXM4-80GB": _A100,
        "NVIDIA A100-PCIE-40GB": _A100,
        "NVIDIA A100 80GB PCIe": _A100,
        "NVIDIA H100 80GB HBM3": _H100_SXM,
        "NVIDIA H100 PCIe": _H100_PCIE,
        "NVIDIA H100 NVL": _H100_NVL,
        "NVIDIA H200": _H100_SXM,
        "NVIDIA H200 NVL": _H100_NVL,
        "TPU v4": 275e12,
        "TPU v5 lite": 197e12,
        "TPU v5e": 197e12,
        "TPU v5": 459e12,
        "TPU v5p": 459e12,
        "TPU v6 lite": 918e12,
        "TPU v6e": 918e12,
    }
)
"""Most floating-point operations in a second on dense bfloat16 matrices, by JAX's `device_kind`.

NVIDIA states them for sparse matrices, and half of them is meant here. A part of a GPU (MIG) has a
name of its own and is not in the table.

References:
    https://www.nvidia.com/en-us/data-center/a100/ (624 with sparsity);
    https://www.nvidia.com/en-us/data-center/h100/ (1,979 as SXM, 1,671 as NVL);
    https://www.nvidia.com/content/dam/en-zz/Solutions/gtcs22/data-center/h100/PB-11133-001_v01.pdf
    (1,513 as PCIe); https://www.nvidia.com/en-us/data-center/h200/ (1,979 as SXM, 1,671 as NVL);
    https://docs.cloud.google.com/tpu/docs/v4 (275), and v5e (197), v5p (459) and v6e (918)
"""


def peak_flops(device: jax.Device, dtype: str) -> float | None:
    """Return the most operations in a second that a device can do; None if it is not known.

    Args:
        device: the device.
        dtype: type to compute in, as in `--dtype`; the table is for bfloat16.
    """
    return PEAK_FLOPS.get(device.device_kind) if dtype == "bfloat16" else None


def forward_flops(model: nn.Module, variables: Any, shape: tuple[int, int, int]) -> int:
    """Return the operations of the forward pass of one image: two for each multiply-add.

    Convolutions and dense layers count, with their padding; normalisations, activations and
    pooling, which are few operations, do not. The backward pass has twice as many, one such product
    for the gradient of the input and one for that of the kernel.

    Args:
        model: a module, each layer of which is called once.
        variables: its variables or their shapes; a layer is what has a parameter `kernel`, whose
            last axis is that of the output.
        shape: height, width and channels of the image.

    >>> layer = nn.Dense(3)
    >>> variables = layer.init(jax.random.key(0), jnp.zeros((1, 5)))
    >>> forward_flops(layer, variables, (1, 1, 5))
    30
    """

    def outputs(variables: Any, images: Any) -> Any:
        _, found = model.apply(
            variables, images, capture_intermediates=True, mutable=["intermediates"]
        )
        return found["intermediates"]

    calls = jax.eval_shape(outputs, variables, jax.ShapeDtypeStruct((1, *shape), jnp.float32))
    return 2 * _multiply_adds(variables["params"], calls)


def _multiply_adds(params: Any, calls: Any) -> int:
    """Return the multiply-adds of a module and of those inside it.

    Args:
        params: parameters of the module, by name.
        calls: shapes of the outputs of its calls, likewise.
    """
    total = 0
    if "kernel" in params:
        positions = sum(math.prod(call.shape[:-1]) for call in calls["__call__"])
        total += positions * math.prod(params["kernel"].shape)
    for name, inside in params.items():
        if isinstance(inside, Mapping):
            total += _multiply_adds(inside, calls[name])
    return total
