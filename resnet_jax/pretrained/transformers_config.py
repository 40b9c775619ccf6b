"""The configuration of a ResNet in Hugging Face's transformers, in timm's form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..data import IMAGENET_MEAN, IMAGENET_STD
from ..models import VARIANTS, BasicBlock, Bottleneck, ResNetOptions, WeightsError

# Defaults of `ResNetConfig`, whose files leave out what has them.
_DEFAULTS: Mapping[str, Any] = {
    "num_channels": 3,
    "embedding_size": 64,
    "hidden_sizes": [256, 512, 1024, 2048],
    "depths": [3, 4, 6, 3],
    "layer_type": "bottleneck",
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
    "downsample_in_bottleneck": False,
}
_FIXED = ("hidden_act", "downsample_in_first_stage", "downsample_in_bottleneck")
# Pillow's numbers of its filters.
_FILTERS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
_SQUASHED_FROM = 384  # ConvNext's image processor does not crop images of this size


def from_transformers(
    raw: Mapping[str, Any], preprocessor: Mapping[str, Any] | None
) -> tuple[dict[str, Any], ResNetOptions]:
    """Return timm's nested form, and the options that the network has in addition.

    Args:
        raw: the `config.json`.
        preprocessor: the `preprocessor_config.json`; None has ConvNext's defaults, as transformers
            makes them for its ResNets.

    Raises:
        WeightsError: for another kind of network, or a value that has no counterpart here.
    """
    if raw["model_type"] != "resnet":
        raise WeightsError(f"`model_type` (={raw['model_type']!r:.60}) must be 'resnet'")
    values = {name: raw.get(name, default) for name, default in _DEFAULTS.items()}
    for name in _FIXED:
        if values[name] != _DEFAULTS[name]:
            raise WeightsError(f"`{name}` (={values[name]!r:.40}) must be {_DEFAULTS[name]!r}")
    if values["layer_type"] not in ("basic", "bottleneck"):
        raise WeightsError(
            f"`layer_type` (={values['layer_type']!r:.40}) must be 'basic' or 'bottleneck'"
        )
    block = BasicBlock if values["layer_type"] == "basic" else Bottleneck
    planes, sizes, depths = (values[n] for n in ("embedding_size", "hidden_sizes", "depths"))
    expansion = 1 if block is BasicBlock else 4
    if type(planes) is not int or sizes != [planes * expansion * 2**stage for stage in range(4)]:
        raise WeightsError(
            f"`hidden_sizes` (={sizes!r:.60}) must be {expansion}, {2 * expansion}, "
            f"{4 * expansion} and {8 * expansion} times `embedding_size` (={planes!r:.20})"
        )
    counts = depths if isinstance(depths, list) else []
    if len(counts) != 4 or any(type(count) is not int for count in counts):
        raise WeightsError(f"`depths` (={depths!r:.60}) must be four numbers of blocks")
    names = _labels(raw.get("id2label"))
    config: dict[str, Any] = {
        "architecture": _architecture(block, depths),
        "num_classes": len(names) if names else raw.get("num_labels", 2),
        "model_args": {"layers": depths},
        "pretrained_cfg": _input(preprocessor, values["num_channels"]),
    }
    if names:
        config["label_names"] = names
    options: ResNetOptions = {"layers": tuple(depths), "base_planes": planes}
    return config, options


def _architecture(block: Any, depths: list[int]) -> str:
    """Return the variant of these blocks, or one that has them in another number."""
    for name, row in VARIANTS.items():
        if row.block is block and list(row.layers) == depths and not row.options:
            return name
    return "resnet18" if block is BasicBlock else "resnet50"


def _labels(labels: Any) -> list[str] | None:
    if not isinstance(labels, Mapping) or not labels:
        return None
    try:
        return [labels[str(index)] for index in range(len(labels))]
    except KeyError as error:
        raise WeightsError(f"`id2label` has no entry for the class {error.args[0]}") from error


def _input(preprocessor: Mapping[str, Any] | None, channels: int) -> dict[str, Any]:
    """Return the entry `pretrained_cfg` for an image processor."""
    given = preprocessor or {}
    size, crop = _edge(given.get("size", 224)), _edge(given.get("crop_size"))
    if size is None:
        raise WeightsError(f"`size` (={given.get('size')!r:.60}) must be one edge, or a square")
    oblong = "height" in given["size"] if isinstance(given.get("size"), Mapping) else False
    mode, share = "center", given.get("crop_pct") or 224 / 256
    if crop is not None and given.get("do_center_crop", True):
        size, share = crop, crop / size
    elif oblong or size >= _SQUASHED_FROM:
        mode, share = "squash", 1.0
    if given.get("do_resize", True) is False:
        raise WeightsError("`do_resize` (=False) must be True")
    filter_ = given.get("resample", 3)
    if filter_ not in _FILTERS:
        raise WeightsError(f"`resample` (={filter_!r:.40}) must be 1, 2 or 3")
    plain = given.get("do_normalize", True) is False
    return {
        "input_size": [channels, size, size],
        "interpolation": _FILTERS[filter_],
        "crop_pct": share,
        "crop_mode": mode,
        "mean": [0.0] * 3 if plain else given.get("image_mean", list(IMAGENET_MEAN)),
        "std": [1.0] * 3 if plain else given.get("image_std", list(IMAGENET_STD)),
    }


def _edge(size: Any) -> int | None:
    """Return the length of the edge that a processor's size gives; None if there is not one."""
    if isinstance(size, Mapping):
        edges = {size.get(name) for name in ("shortest_edge", "height", "width") if name in size}
        size = edges.pop() if len(edges) == 1 else None
    return size if type(size) is int and size > 0 else None
