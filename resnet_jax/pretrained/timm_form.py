"""The `config.json` of a network in timm's nested form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from ..data import ImageTransform
from ..models import VARIANTS, BatchNorm, ResNet, create_model, image_channels
from ..models.cifar_variants import CIFAR_VARIANTS
from ..models.torch_names import first_kernel, tensors_of
from .own_options import ENTRY, own_options

# Fields of a network that change no logit.
_WITHOUT_EFFECT = frozenset(
    ("num_classes", "zero_init_residual", "dtype", "axis_name", "remat", "name", "parent")
)
# Arguments of timm's, and the field of a network that each of them is.
_STRIDES: Mapping[Any, int] = {(False, False, True): 16, (False, True, True): 8}


def config_of(
    model: ResNet,
    variables: Mapping[str, Any],
    transform: ImageTransform,
    class_names: Sequence[str] | None,
    license_: str | None,
) -> dict[str, Any]:
    """Return the configuration that `load_pretrained` makes the same network and transform of.

    timm does, too, if it has the network; see `is_in_timm`.

    Args:
        model: the network.
        variables: its `params` and `batch_stats`.
        transform: its evaluation transform.
        class_names: names of its classes, or None.
        license_: the weights' license, or None.

    Raises:
        ValueError: if no configuration describes the network, or the arguments do not fit together.
    """
    channels = image_channels(model, variables)
    if len(transform.mean) != channels:
        raise ValueError(
            f"`transform` (its `mean` has {len(transform.mean)} entries) must be for the "
            f"{channels} channels of the weights"
        )
    if class_names is not None and len(class_names) != model.num_classes:
        raise ValueError(
            f"`class_names` has {len(class_names)} names; it must have one for each of the "
            f"{model.num_classes} classes"
        )
    architecture, arguments, own = _architecture(model)
    if channels != 3:
        arguments["in_chans"] = channels
    tensors = tensors_of(model, channels)
    labels = {} if class_names is None else {"label_names": list(class_names)}
    side = transform.crop
    return {
        "architecture": architecture,
        "num_classes": model.num_classes,
        "num_features": tensors["fc.weight"].shape[1],
        "global_pool": "avg",
        **labels,
        **({"model_args": arguments} if arguments else {}),
        **({ENTRY: own} if own else {}),
        "pretrained_cfg": {
            "custom_load": False,
            "input_size": [channels, side, side],
            "fixed_input_size": False,
            "interpolation": transform.interpolation,
            "crop_pct": _share(side, transform.resize),
            "crop_mode": transform.crop_mode,
            "mean": list(transform.mean),
            "std": list(transform.std),
            "num_classes": model.num_classes,
            "pool_size": None,
            "first_conv": first_kernel(tensors).removesuffix(".weight"),
            "classifier": "fc",
            **({} if license_ is None else {"license": license_}),
        },
    }


def is_in_timm(model: ResNet) -> bool:
    """Return whether timm has a network, too.

    Args:
        model: the network.

    Raises:
        ValueError: if no configuration describes it.
    """
    architecture, _, own = _architecture(model)
    return architecture not in CIFAR_VARIANTS and not own


def _architecture(model: ResNet) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the name of a network, its arguments of timm in addition, and options of our own."""
    rows = {name: _differing(model, name) for name in VARIANTS}
    nearest = sorted(rows, key=lambda name: len(rows[name]))
    stride = _STRIDES.get(_plain(model.replace_stride_with_dilation))
    of_timm = {"layers"} if stride is None else {"layers", "replace_stride_with_dilation"}
    for name in nearest:
        if rows[name] <= of_timm:
            arguments: dict[str, Any] = {} if stride is None else {"output_stride": stride}
            if "layers" in rows[name]:
                arguments["layers"] = list(model.layers)
            return name, arguments, {}
    for name in nearest:
        own = own_options(model, sorted(rows[name]))
        if own is not None:
            return name, {}, own
    name = nearest[0]
    different = sorted(rows[name])
    fields = ", ".join(f"`{field}` (={getattr(model, field)!r:.60})" for field in different)
    raise ValueError(
        f"`model` is none that a `config.json` can describe: {fields} must be as in {name}, the "
        "nearest; `save_weights` writes the weights alone"
    )


def _differing(model: ResNet, name: str) -> set[str]:
    """Return the names of the fields in which a network differs from a row of the table."""
    return set(_differences(model, create_model(name, model.num_classes)))


def _differences(model: ResNet, other: ResNet) -> Iterator[str]:
    """Yield the names of the fields in which two networks differ."""
    for field in model.__dataclass_fields__:
        if field not in _WITHOUT_EFFECT and _plain(getattr(model, field)) != _plain(
            getattr(other, field)
        ):
            yield field


def _plain(value: Any) -> Any:
    """Return a value that is equal for options that mean the same."""
    if isinstance(value, partial):
        return value.func, value.args, tuple(sorted(value.keywords.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_plain(item) for item in value)
    return None if value is BatchNorm else value


def _share(crop: int, resize: int) -> float:
    """Return the shortest fraction of which timm makes the same resize.

    >>> _share(224, 256), _share(224, 235)
    (0.875, 0.95)
    """
    for digits in range(2, 8):
        share = round(crop / resize, digits)
        for candidate in (share, round(share - 10**-digits, digits)):
            if candidate > 0 and math.floor(crop / candidate) == resize:
                return candidate
    return crop / (resize + 0.5)
