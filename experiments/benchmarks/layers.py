"""The layers of a network, as the benchmark of the operations names them; without any framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Convolution:
    """A convolution of square images and kernels, padded to keep the size at stride 1.

    Attributes:
        side: Side of the input, in pixels.
        channels: Channels of the input.
        features: Channels of the output.
        kernel: Side of the kernel.
        stride: Stride in both directions.
        groups: Groups of channels.
        operation: What it is.
    """

    side: int
    channels: int
    features: int
    kernel: int
    stride: int = 1
    groups: int = 1
    operation: ClassVar[str] = "convolution"

    @property
    def name(self) -> str:
        """The name in the table.

        >>> Convolution(28, 64, 128, 3, stride=2).name
        '3x3/2 64->128 @28'
        """
        stride = f"/{self.stride}" if self.stride > 1 else ""
        groups = f" g{self.groups}" if self.groups > 1 else ""
        size = f"{self.kernel}x{self.kernel}{stride}"
        return f"{size} {self.channels}->{self.features}{groups} @{self.side}"

    @property
    def of_images(self) -> bool:
        """Whether the input is the images, for which training takes no gradient."""
        return self.channels <= 3

    @property
    def jobs(self) -> tuple[str, ...]:
        """What a training step does with it."""
        if self.of_images:
            return ("forward", "kernel gradient")
        return ("forward", "input gradient", "kernel gradient")

    @property
    def norm(self) -> Activations:
        """The normalisation of its output."""
        return Activations("batch norm", -(-self.side // self.stride), self.features)


@dataclass(frozen=True)
class Activations:
    """An operation on the activations of a layer.

    Attributes:
        operation: `"batch norm"`, with the statistics of the batch, or `"max pool"`, of 3 x 3
            windows with stride 2.
        side: Side of the input, in pixels.
        channels: Channels.
    """

    operation: str
    side: int
    channels: int

    @property
    def name(self) -> str:
        """The name in the table.

        >>> Activations("batch norm", 28, 64).name
        'batch norm 64 @28'
        """
        return f"{self.operation} {self.channels} @{self.side}"

    @property
    def jobs(self) -> tuple[str, ...]:
        """What is measured: the second is the forward pass and its gradients together."""
        return ("forward", "both ways")


Layer = Convolution | Activations
