"""A network that is ready to be applied, from a source of pretrained weights."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Unpack, overload

from flax.traverse_util import flatten_dict
from jax import Array

from ..data import ImageTransform
from ..models import ResNetOptions, WeightsError, create_model
from ..models.torch_names import canonical, first_kernel, tensors_of
from ..models.torch_weights import Head, check_choices, fill, tell, with_classes
from ..models.wrappers import Network, find_network
from ..storage import JsonError, read_json, whole_number
from .config import Description, describe, describe_variant, name_classes
from .network import Pretrained, PretrainedNNX
from .sources import Source, find_source
from .weights import CONFIG, read_files


@overload
def load_pretrained(
    source: str | os.PathLike[str],
    *,
    api: Literal["linen"] = ...,
    variant: str | None = ...,
    num_classes: int | None = ...,
    key: str | None = ...,
    prefix: str | None = ...,
    head_key: Array | None = ...,
    test_size: bool = ...,
    **options: Unpack[ResNetOptions],
) -> Pretrained: ...


@overload
def load_pretrained(
    source: str | os.PathLike[str],
    *,
    api: Literal["nnx"],
    variant: str | None = ...,
    num_classes: int | None = ...,
    key: str | None = ...,
    prefix: str | None = ...,
    head_key: Array | None = ...,
    test_size: bool = ...,
    **options: Unpack[ResNetOptions],
) -> PretrainedNNX: ...


def load_pretrained(
    source: str | os.PathLike[str],
    *,
    api: Literal["linen", "nnx"] = "linen",
    variant: str | None = None,
    num_classes: int | None = None,
    key: str | None = None,
    prefix: str | None = None,
    head_key: Array | None = None,
    test_size: bool = False,
    **options: Unpack[ResNetOptions],
) -> Pretrained | PretrainedNNX:
    """Load a network with its weights, its evaluation transform and the names of its classes.

    A source is one of these; a path that exists takes precedence over a name on the Hub:

    - a folder with a `config.json` in timm's form, new or flat, or that of a ResNet in
      transformers, and with `model.safetensors` or `pytorch_model.bin`, or the index and the files
      of either;
    - `"timm/resnet50.a1_in1k"` or `"hf-hub:owner/name[@revision]"`: such a folder on the Hugging
      Face Hub, through `huggingface_hub` (extra `hub`), its cache and its offline mode;
    - a file of weights or a checkpoint of a training, as `load_weights` reads it, together with
      `variant`. Such a file does not say its transform: that of ImageNet's weights in torchvision
      is taken, and a note says so.

    Where 1000 classes have no names, those of ImageNet are taken, as a note says.

    Args:
        source: where the weights are.
        api: `"linen"` returns a linen module and its variables, `"nnx"` a module of
            `resnet_jax.nnx` in evaluation mode.
        variant: a name in `VARIANTS`; needed for a file, and for a folder without `config.json`.
            It takes the place of the configuration's `architecture` and `model_args`.
        num_classes: size of the logits; another one than that of the weights starts a new head.
            None takes that of the weights.
        key: the entry of a checkpoint that holds the network; see `from_torch`.
        prefix: what the names of the network begin with; see `from_torch`.
        head_key: key of a new head; None is `jax.random.key(0)`.
        test_size: evaluate at the `test_input_size` of the configuration, if it has one.
        **options: options of `ResNet`, such as `dtype`, which take precedence over the
            configuration's.

    Raises:
        WeightsError: if the configuration or the weights are damaged, of another network, or need
            an argument that was not given.
        ValueError: if an argument is out of range.
        TypeError: if `key` is not a string.
        OSError: if the source does not exist, cannot be read, or cannot be fetched.
        ImportError: if a package is needed and not installed.

    >>> import jax, jax.numpy as jnp, tempfile
    >>> from resnet_jax import create_model, save_weights
    >>> model = create_model("resnet18", num_classes=10, base_planes=8)
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> path = tempfile.mkdtemp() + "/model.safetensors"
    >>> save_weights(path, model, variables)
    >>> network = load_pretrained(path, variant="resnet18", base_planes=8)
    >>> network.model.num_classes, network.transform.crop
    (10, 224)
    """
    check_choices(key, prefix, "strict")
    if api not in ("linen", "nnx"):
        raise ValueError(f"`api` (={api!r}) must be 'linen' or 'nnx'")
    if num_classes is not None:
        num_classes = whole_number("num_classes", num_classes)
    by_hand = None if variant is None else describe_variant(variant)
    found = find_source(source)
    try:
        description, notes = _description(found, by_hand)
        made: ResNetOptions = {**description.options, **options}
        transform = description.transform(test_size=test_size)
        model = create_model(description.architecture, 1, **made)
        expected = tensors_of(model)
        network = find_network(read_files(found.weights), expected, key=key, prefix=prefix)
        classes, is_new = _classes(network, description, num_classes)
        model = model.clone(num_classes=classes)
        head: Head = "reinit" if is_new else "strict"
        expected = with_classes(expected, classes)
        variables = fill(model, expected, network.tensors, head=head, head_key=head_key)
    except (JsonError, WeightsError) as error:
        raise WeightsError(f"`source` (={found.name}): {error}") from error
    description, named = (description, ()) if is_new else name_classes(description, classes)
    names, unnamed = (None, ()) if is_new else description.class_names()
    kernel = flatten_dict(variables)[expected[first_kernel(expected)].path]
    transform, adapted = _for_channels(transform, kernel.shape[-2])
    new = (f"`fc` is new, for {classes} classes.",) if is_new else ()
    notes = (*found.notes, *notes, *network.notes, *new, *named, *unnamed, *adapted)
    tell(notes)
    config = {**description.config, "num_classes": classes}
    if names is None:
        config = {n: value for n, value in config.items() if not n.startswith("label_")}
    known: dict[str, Any] = {
        "transform": transform,
        "class_names": names,
        "config": config,
        "source": found.name,
        "notes": notes,
        "origin_notes": (*found.notes, *network.notes),
        "has_transform": found.config is not None,
    }
    if api == "linen":
        return Pretrained(model, variables, **known)
    from ..nnx import from_linen  # which those who use linen need not import

    return PretrainedNNX(from_linen(model, variables), **known)


def _is_network(config: Path) -> bool:
    """Return whether a file describes a network; those of runs have the same name."""
    try:
        return not {"architecture", "model_type"}.isdisjoint(read_json(config))
    except JsonError:
        return False


def _description(found: Source, by_hand: Description | None) -> tuple[Description, tuple[str, ...]]:
    """Return what is known of the network, and sentences on what is assumed."""
    if found.config is None:
        if by_hand is None:
            file = found.weights[0]
            beside = file.parent / CONFIG
            folder = f", or the folder {file.parent} as `source`" if _is_network(beside) else ""
            raise WeightsError(
                f"there is no {CONFIG} that says the architecture; give `variant`{folder}"
            )
        note = "The transform is the usual one of ImageNet: the source does not say its own."
        return by_hand, (note,)
    raw = read_json(found.config)
    preprocessor = None if found.preprocessor is None else read_json(found.preprocessor)
    if by_hand is None:
        return describe(raw, preprocessor), ()
    # The architecture of the file may be unknown here; its transform holds all the same.
    if "model_type" not in raw:
        raw = {n: v for n, v in raw.items() if n != "model_args"}
        raw["architecture"] = by_hand.architecture
    config = {**describe(raw, preprocessor).config, "architecture": by_hand.architecture}
    return Description(config, by_hand.options), ()


def _classes(network: Network, description: Description, wanted: int | None) -> tuple[int, bool]:
    """Return the number of classes, and whether the head for them is a new one."""
    heads = [value for name, value in network.tensors.items() if canonical(name) == "fc.weight"]
    shape: Sequence[int] = getattr(heads[0], "shape", ()) if heads else ()
    stored = int(shape[0]) if len(shape) == 2 else None
    declared = description.num_classes
    if wanted is None and stored is not None and declared not in (None, stored):
        raise WeightsError(
            f"`num_classes` (={declared}) of the configuration must be the {stored} of `fc`"
        )
    if wanted is None and stored is None:
        raise WeightsError("the weights have no `fc` that fits; `num_classes` starts a new one")
    classes = wanted or stored or 0
    return classes, classes != stored


def _for_channels(
    transform: ImageTransform, channels: int
) -> tuple[ImageTransform, tuple[str, ...]]:
    """Return the transform for images of some channels, and a sentence if it is another one."""
    if len(transform.mean) == channels:
        return transform, ()
    if channels not in (1, 3):
        raise WeightsError(f"the weights take {channels} channels; images of files have 1 or 3")
    mean, std = (
        (sum(values) / len(values),) * channels for values in (transform.mean, transform.std)
    )
    note = f"`mean` and `std` are averaged over the channels, for images of {channels}."
    return dataclasses.replace(transform, mean=mean, std=std), (note,)
