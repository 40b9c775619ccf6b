"""The card of a model: what it is, and how its accuracy was measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..models.cifar_variants import CIFAR_VARIANTS
from .own_options import ENTRY


@dataclass(frozen=True)
class ModelCard:
    """What the card of a model says beside its architecture and its transform.

    Attributes:
        title: the heading; None is the name of the architecture.
        description: what the model is, in sentences of Markdown.
        license: the license of the weights by its short name, such as `"mit"`; None says none.
        datasets: names of the data sets of the training.
        tags: words to find the model by.
        metrics: what was measured, as a fraction, by its name; such as `{"top-1 accuracy": 0.761}`.
        measured: how it was measured, in sentences: the images, the transform, the program.
        training: how it was trained, by what is said: `{"seed": "123"}`.
        command: the command line that trained it; empty where there was none.
    """

    title: str | None = None
    description: str = ""
    license: str | None = None
    datasets: Sequence[str] = ()
    tags: Sequence[str] = ("image-classification", "timm", "resnet")
    metrics: Mapping[str, float] = field(default_factory=dict)
    measured: str = ""
    training: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


def card_text(card: ModelCard, config: Mapping[str, Any]) -> str:
    """Return the text of a card: a header in YAML, and Markdown.

    Args:
        card: what it says.
        config: the `config.json` beside it.

    Raises:
        ValueError: if a metric is not a fraction.
    """
    for name, value in card.metrics.items():
        if not 0 <= value <= 1:
            raise ValueError(f"`metrics` has {name!r} (={value}), which must be a fraction")
    return "\n".join([*_header(card, config), *_body(card, config)]) + "\n"


def _is_timms(config: Mapping[str, Any]) -> bool:
    """Return whether timm has the architecture, too."""
    return config["architecture"] not in CIFAR_VARIANTS and ENTRY not in config


def _header(card: ModelCard, config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the header; strings of JSON are strings of YAML."""
    yield "---"
    yield from _list("tags", [tag for tag in card.tags if tag != "timm" or _is_timms(config)])
    yield "pipeline_tag: image-classification"
    if _is_timms(config):
        yield "library_name: timm"
    if card.license is not None:
        yield f"license: {json.dumps(card.license)}"
    yield from _list("datasets", card.datasets)
    if card.metrics:
        yield from _list("metrics", ["accuracy"])
    yield "---"


def _list(name: str, values: Sequence[str]) -> Iterator[str]:
    if values:
        yield f"{name}:"
        yield from (f"- {json.dumps(value)}" for value in values)


def _body(card: ModelCard, config: Mapping[str, Any]) -> Iterator[str]:
    given = config["pretrained_cfg"]
    side = given["input_size"][1]
    yield f"# {card.title or config['architecture']}"
    yield ""
    if card.description:
        yield card.description
        yield ""
    yield f"- Architecture: `{config['architecture']}`, {config['num_classes']} classes"
    yield (
        f"- Images: {side} × {side} pixels, {given['interpolation']}, crop_pct "
        f"{given['crop_pct']}, mean {given['mean']}, std {given['std']}"
    )
    if card.metrics or card.measured:
        yield ""
        yield "## Evaluation"
        yield ""
        yield from (f"- {name}: {value:.2%}" for name, value in card.metrics.items())
        yield from ["", card.measured] if card.measured and card.metrics else [card.measured]
    if card.training or card.command:
        yield from ["", "## Training", ""]
        yield from (f"- {name}: {value}" for name, value in card.training.items())
    if card.command:
        yield from ["", "~~~sh", card.command, "~~~"]
    yield from ["", "## Use", "", "~~~python"]
    yield "import resnet_jax as rj  # FOLDER is the folder of this file"
    yield 'network = rj.load_pretrained("FOLDER")'
    yield 'print(network.predict(Image.open("photo.jpg")))'
    if _is_timms(config):
        yield ""
        yield 'net = timm.create_model("local-dir:FOLDER", pretrained=True)'
    yield "~~~"
