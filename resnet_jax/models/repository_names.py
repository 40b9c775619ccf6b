"""Names of tensors in repositories that train ResNets on CIFAR, and torchvision's for the same.

- A head `linear`, and `layer2.0.shortcut.0`: kuangliu/pytorch-cifar,
  akamaster/pytorch_resnet_cifar10.
- `block1.layer.0`, `convShortcut`, and `bn1` behind the last block:
  xternalz/WideResNet-pytorch.
- `conv1.0`, `conv2_x.0.residual_function.0` and `shortcut.0`: weiaicunzai/pytorch-cifar100.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

Replacement = str | Callable[[re.Match[str]], str]


class _Repository(NamedTuple):
    """The names of one repository: a pattern that only they have, and what to replace."""

    mark: str
    rules: tuple[tuple[str, Replacement], ...]


def _layer(found: re.Match[str]) -> str:
    """Return the layer at a place in a sequence of convolution, normalisation and activation."""
    place = int(found[1])
    return f"{('conv', 'bn')[place % 3]}{place // 3 + 1}."


_WIDE = _Repository(
    r"(^|\.)block1\.layer\.0\.",
    (
        (r"(^|\.)block(\d)\.layer\.", r"\1layer\2."),
        (r"\.convShortcut\.", ".downsample.0."),
        # Not that of a block, which follows a number.
        (r"^((?:[a-z_]+\.)*)bn1\.", r"\1final_bn."),
    ),
)
_SEQUENTIAL = _Repository(
    r"(^|\.)conv2_x\.0\.residual_function\.0\.",
    (
        (r"(^|\.)conv(\d)_x\.", lambda found: f"{found[1]}layer{int(found[2]) - 1}."),
        (r"(^|(?<=\.))conv1\.0\.", "conv1."),
        (r"(^|(?<=\.))conv1\.1\.", "bn1."),
        (r"(?<=\.)residual_function\.([0134679])\.", _layer),
        (r"\.shortcut\.", ".downsample."),
    ),
)
_PLAIN = _Repository(
    r"(^|\.)(linear\.weight|layer\d\.0\.shortcut\.0\.weight)$",
    (
        (r"(^|(?<=\.))linear\.(?=weight$|bias$)", "fc."),
        (r"(?<=\d)\.shortcut\.(?=\d)", ".downsample."),
    ),
)
_REPOSITORIES = (_WIDE, _SEQUENTIAL, _PLAIN)


def from_repository(names: Iterable[str], expected: Collection[str]) -> list[str]:
    """Return torchvision's names for those of a repository, and any others as they are.

    Args:
        names: all names of a state dict, with what a wrapper puts before them.
        expected: the names of the model's tensors; those with a word of a repository, as a block
            of one's own may have them, are kept as they are.

    >>> from_repository(["module.linear.weight", "module.layer2.0.shortcut.0.weight"], ())
    ['module.fc.weight', 'module.layer2.0.downsample.0.weight']
    """
    names = list(names)
    for mark, rules in _REPOSITORIES:
        found = [name for name in names if re.search(mark, name)]
        if not found or any(re.search(mark, name) for name in expected):
            continue
        translated = names
        for pattern, replacement in rules:
            translated = [re.sub(pattern, replacement, name) for name in translated]
        # A network with torchvision's names may have a `linear` of another purpose beside them.
        return translated if len(set(translated)) == len(set(names)) else names
    return names
