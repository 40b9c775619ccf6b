"""The operations in torch, one layer at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from .bench import Loop
from .layers import Activations, Convolution, Layer
from .torch_bench import TorchBench
from .torch_side import LAYOUTS, use_all_cores


class TorchOps(TorchBench):
    """The jobs of a layer, on the CPU.

    Args:
        layer: The layer.
        batch: Images.
        layout: A name in `LAYOUTS`.
    """

    turn_seconds = 0.1

    def __init__(self, *, layer: Layer, batch: int, layout: str) -> None:
        super().__init__("cpu")
        use_all_cores()
        torch.manual_seed(0)
        self._layout = LAYOUTS[layout]
        x = self._normal(batch, layer.channels, layer.side, layer.side)
        if isinstance(layer, Convolution):
            self._runs = self._of_convolution(layer, x)
        else:
            self._runs = self._of_activations(layer, x)

    def enqueue(self, job: str) -> Loop:
        """Make the loop of a job of the layer."""
        run = self._runs[job]

        def loop(count: int) -> None:
            for _ in range(count):
                run()

        return loop

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape).contiguous(memory_format=self._layout)

    def _of_convolution(self, layer: Convolution, x: Tensor) -> dict[str, Callable[[], Any]]:
        pads, strides = [layer.kernel // 2] * 2, [layer.stride] * 2
        kernel = self._normal(
            layer.features, layer.channels // layer.groups, layer.kernel, layer.kernel
        )
        forward = partial(nn.functional.conv2d, x, kernel, None, strides, pads, 1, layer.groups)
        gradient = torch.randn_like(forward())

        def backward(which: list[bool]) -> Any:
            own = ([1, 1], False, [0, 0], layer.groups)
            operation = torch.ops.aten.convolution_backward
            return operation(gradient, x, kernel, None, strides, pads, *own, which)

        return {
            "forward": forward,
            "input gradient": partial(backward, [True, False, False]),
            "kernel gradient": partial(backward, [False, True, False]),
        }

    def _of_activations(self, layer: Activations, x: Tensor) -> dict[str, Callable[[], Any]]:
        if layer.operation == "batch norm":
            statistics = (torch.zeros(layer.channels), torch.ones(layer.channels))
            scale, bias = torch.ones(layer.channels), torch.zeros(layer.channels)
            function = partial(
                nn.functional.batch_norm,
                running_mean=statistics[0],
                running_var=statistics[1],
                weight=scale,
                bias=bias,
                training=True,
            )
        else:
            function = partial(nn.functional.max_pool2d, kernel_size=3, stride=2, padding=1)
        gradient = torch.randn_like(function(x))
        trained = x.detach().requires_grad_()

        def both_ways() -> Any:
            return torch.autograd.grad(function(trained), trained, gradient)

        return {"forward": partial(function, x), "both ways": both_ways}
