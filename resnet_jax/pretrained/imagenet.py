"""The names of ImageNet's 1000 classes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType


@functools.cache
def imagenet_classes() -> Mapping[str, str]:
    """Return the words of each class by its number in WordNet, in the order of the logits.

    >>> list(imagenet_classes().items())[281]
    ('n02123045', 'tabby, tabby cat')
    """
    text = resources.files(__package__).joinpath("imagenet.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return MappingProxyType(dict(line.split(" ", 1) for line in lines))
