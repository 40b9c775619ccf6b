"""Names of architectures: those that are known, and those that are nearest to another."""

from __future__ import annotations

import difflib

from ..models import VARIANTS, WeightsError


def check_architecture(name: str, argument: str) -> None:
    """Raise if the table of variants has no such row.

    Args:
        name: the name.
        argument: what the name was given as, for the message.

    Raises:
        WeightsError: with the names that are nearest to it.

    >>> check_architecture("resnet5", "variant")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    resnet_jax.models.torch_names.WeightsError: `variant` (='resnet5') is no ResNet of the table; \
near to it are resnet56, resnet50, ...
    """
    if name in VARIANTS:
        return
    near = difflib.get_close_matches(name, VARIANTS, n=3)
    known = f"near to it are {', '.join(near)}" if near else "`resnet_jax.VARIANTS` has their names"
    raise WeightsError(f"`{argument}` (={name!r:.60}) is no ResNet of the table; {known}")
