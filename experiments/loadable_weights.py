"""Which published weights load: a table of those of timm's `resnet.py` and of torchvision.

Nothing is downloaded. A network of each architecture is made by timm or torchvision without
values, its names and shapes are given to `from_torch`, and the transform of each of its weights is
made. Both packages must be installed.

    python -m experiments.loadable_weights           one row a family
    python -m experiments.loadable_weights --every   one row for each of the weights
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from resnet_jax.data import ImageTransform
from resnet_jax.models import VARIANTS, create_model, from_torch

from . import cli
from .progress import working


@dataclass(frozen=True)
class Config:
    """Which table."""

    every: bool = False
    """Print one row for each of the weights instead of one for each family."""


class Weights(NamedTuple):
    """Published weights, and whether they can be used here.

    Attributes:
        source: `"timm"` or `"torchvision"`.
        family: what the architecture is a form of.
        architecture: name of the network.
        tag: name of the weights.
        transform: the evaluation's transform; None if it cannot be made.
        obstacle: why they cannot be used; empty if they can.
    """

    source: str
    family: str
    architecture: str
    tag: str
    transform: ImageTransform | None
    obstacle: str


def family_of(architecture: str) -> str:
    """Return what an architecture is a form of.

    >>> [family_of(name) for name in ("resnet50", "ecaresnet50d_pruned", "seresnextaa101d_32x8d")]
    ['ResNet', 'ECA-ResNet', 'SE-ResNeXt']
    """
    prefixes = {
        "ecaresnext": "ECA-ResNeXt",
        "ecaresnet": "ECA-ResNet",
        "seresnext": "SE-ResNeXt",
        "seresnet": "SE-ResNet",
        "resnetrs": "ResNet-RS",
        "resnetblur": "ResNet with anti-aliasing",
        "resnetaa": "ResNet with anti-aliasing",
        "wide_resnet": "Wide ResNet",
        "resnext": "ResNeXt",
    }
    return next(
        (family for prefix, family in prefixes.items() if architecture.startswith(prefix)), "ResNet"
    )


def of_timm() -> Iterator[Weights]:
    """Yield all weights of timm's `resnet.py`.

    Raises:
        ImportError: if timm is not installed.
    """
    import timm
    import torch

    for architecture in timm.list_models(module="resnet"):
        obstacles: dict[tuple[int, int], str] = {}
        for name in timm.list_pretrained(f"{architecture}.*"):
            config = timm.get_pretrained_cfg(name).to_dict()
            shape = config["num_classes"], config["input_size"][0]
            if shape not in obstacles:
                with torch.device("meta"):
                    network = timm.create_model(
                        architecture, num_classes=shape[0], in_chans=shape[1]
                    )
                obstacles[shape] = _obstacle(architecture, shape[0], network)
            obstacle, transform = obstacles[shape], None
            try:
                transform = ImageTransform.from_timm(config)
            except ValueError as error:
                obstacle = obstacle or str(error)
            tag = name.removeprefix(f"{architecture}.")
            yield Weights("timm", family_of(architecture), architecture, tag, transform, obstacle)


def of_torchvision() -> Iterator[Weights]:
    """Yield all weights of torchvision's ResNets.

    Raises:
        ImportError: if torchvision is not installed.
    """
    import torch
    from torchvision import models

    for architecture in models.list_models(module=models):
        if "resne" not in architecture:
            continue
        with torch.device("meta"):
            network = models.get_model(architecture, weights=None)
        obstacle = _obstacle(architecture, 1000, network)
        for weights in models.get_model_weights(architecture):
            preset = weights.transforms()
            transform = ImageTransform(
                resize=preset.resize_size[0],
                crop=preset.crop_size[0],
                interpolation=preset.interpolation.value,
                mean=tuple(preset.mean),
                std=tuple(preset.std),
            )
            family = family_of(architecture)
            yield Weights("torchvision", family, architecture, weights.name, transform, obstacle)


def _obstacle(architecture: str, num_classes: int, network: Any) -> str:
    """Return why weights of such a network cannot be used; empty if they can."""
    if architecture not in VARIANTS:
        return "no such variant"
    # Zeros take no memory until they are read.
    state_dict = {
        name: np.zeros(tuple(tensor.shape), np.float32)
        for name, tensor in network.state_dict().items()
    }
    try:
        # Weights without a head, which have no classes, are read under a new one.
        head: Literal["strict", "reinit"] = "strict" if num_classes else "reinit"
        from_torch(create_model(architecture, num_classes or 1), state_dict, head=head)
    except ValueError as error:
        return str(error)
    return ""


def table(weights: Sequence[Weights], *, every: bool = False) -> Iterator[str]:
    """Yield the lines of a table in Markdown.

    Args:
        weights: its contents.
        every: one row for each, instead of one for each family.
    """
    if every:
        yield "| source | architecture | weights | loads | transform |"
        yield "|---|---|---|---|---|"
        for row in weights:
            loads = row.obstacle or "yes"
            how = _described(row.transform)
            yield f"| {row.source} | {row.architecture} | {row.tag} | {loads} | {how} |"
        return
    groups: dict[tuple[str, str], list[Weights]] = {}
    for row in weights:
        groups.setdefault((row.source, row.family), []).append(row)
    yield "| source | family | architectures | weights | of them load | interpolation |"
    yield "|---|---|---|---|---|---|"
    for (source, family), rows in groups.items():
        names = {row.architecture for row in rows}
        loaded = sum(not row.obstacle for row in rows)
        filters = Counter(row.transform.interpolation for row in rows if row.transform)
        used = ", ".join(f"{name} {count}" for name, count in filters.most_common())
        yield f"| {source} | {family} | {len(names)} | {len(rows)} | {loaded} | {used} |"
    for row in weights:
        if row.obstacle:
            yield f"\n`{row.architecture}.{row.tag}` of {row.source} does not load: {row.obstacle}"


def _described(transform: ImageTransform | None) -> str:
    if transform is None:
        return "none"
    sizes = f"{transform.resize} → {transform.crop} px"
    return f"{sizes}, {transform.interpolation}, {transform.crop_mode}"


def _check_packages() -> None:
    """Raise unless both packages can be imported.

    Raises:
        ImportError: saying how to install them.
    """
    try:
        import timm
        import torchvision
    except ImportError as error:
        raise ImportError(f"{error}; both are needed: pip install timm torchvision") from error
    del timm, torchvision


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""

    def work() -> int:
        config = cli.parse(Config, argv, description=__doc__)
        _check_packages()
        with working("Trying the networks of timm and torchvision"):
            weights = [*of_timm(), *of_torchvision()]
        for line in table(weights, every=config.every):
            print(line)
        return 0

    return cli.exit_code(work)


if __name__ == "__main__":
    raise SystemExit(main())
