"""Names of a ResNet in Hugging Face's transformers, and torchvision's for the same tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_MARK = "embedder.embedder.convolution.weight"
_RULES: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\bresnet\.(?=embedder\.|encoder\.)", ""),
    (r"\bembedder\.embedder\.convolution\.", "conv1."),
    (r"\bembedder\.embedder\.normalization\.", "bn1."),
    (
        r"\bencoder\.stages\.(\d+)\.layers\.(\d+)\.",
        lambda found: f"layer{int(found[1]) + 1}.{found[2]}.",
    ),
    (r"\blayer\.(\d+)\.convolution\.", lambda found: f"conv{int(found[1]) + 1}."),
    (r"\blayer\.(\d+)\.normalization\.", lambda found: f"bn{int(found[1]) + 1}."),
    (r"\bshortcut\.convolution\.", "downsample.0."),
    (r"\bshortcut\.normalization\.", "downsample.1."),
    (r"\bclassifier\.1\.", "fc."),
)


def are_of_transformers(names: Iterable[str]) -> bool:
    """Return whether the names are those of transformers' `ResNetModel`, wrapped or not."""
    return any(f".{name}".endswith(f".{_MARK}") for name in names)


def from_transformers(name: str) -> str:
    """Return torchvision's name for a tensor, with what a wrapper puts before it.

    >>> from_transformers("resnet.encoder.stages.0.layers.2.layer.1.convolution.weight")
    'layer1.2.conv2.weight'
    >>> from_transformers("model.classifier.1.bias")
    'model.fc.bias'
    """
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return name
