"""A network written as a folder that timm and this package read."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data import ImageTransform
from ..models import ResNet, save_weights
from ..storage import atomic_path, expand_user, write_json
from .card import ModelCard, card_text
from .timm_form import config_of
from .weights import CONFIG, SINGLE

CARD = "README.md"
"""The name of the card."""


def save_pretrained(
    folder: str | os.PathLike[str],
    model: ResNet,
    variables: Mapping[str, Any],
    *,
    transform: ImageTransform,
    class_names: Sequence[str] | None = None,
    card: ModelCard | None = None,
    overwrite: bool = False,
) -> None:
    """Write a network as `model.safetensors`, `config.json` and a model card, all or nothing.

    `load_pretrained("FOLDER")` makes the same network of it, with the same transform, and so does
    `timm.create_model("local-dir:FOLDER", pretrained=True)`, where timm has the network. It has
    none for CIFAR, such as `resnet20`; what else it lacks, such as `stem="cifar"`, is kept in an
    entry of its own in `config.json`.

    Args:
        folder: the folder; made if it does not exist.
        model: the network: one of `VARIANTS`, perhaps with other options that are numbers or
            names, for any number of classes and of channels.
        variables: its `params` and `batch_stats`.
        transform: its evaluation transform.
        class_names: names of its classes in the order of the logits; None writes none.
        card: what the card says; None writes what is known of the network.
        overwrite: write into a folder that holds files: those three are replaced, each as a whole,
            others stay.

    Raises:
        ValueError: if no configuration describes the network, which may have a class of yours, or
            the arguments do not fit together; nothing is written.
        FileExistsError: if the folder holds files and `overwrite` is False, or is no folder.
        OSError: if the folder cannot be written.

    >>> import jax, jax.numpy as jnp, tempfile
    >>> from resnet_jax import load_pretrained, resnet18
    >>> model = resnet18(num_classes=2)
    >>> variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    >>> folder = tempfile.mkdtemp() + "/pets"
    >>> transform = ImageTransform(resize=146, crop=128)
    >>> save_pretrained(folder, model, variables, transform=transform, class_names=["cat", "dog"])
    >>> load_pretrained(folder).class_names
    ('cat', 'dog')
    """
    folder = expand_user(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise FileExistsError(f"`folder` (={folder}) is no folder")
    holds = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if holds and not overwrite:
        raise FileExistsError(
            f"`folder` (={folder}) holds {len(holds)} files, such as {holds[0]}; overwrite=True "
            f"replaces {SINGLE[0]}, {CONFIG} and {CARD} in it"
        )
    card = card or ModelCard()
    config = config_of(model, variables, transform, class_names, card.license)
    text = card_text(card, config)
    with _written(folder) as temporary:
        save_weights(temporary / SINGLE[0], model, variables)
        write_json(temporary / CONFIG, config)
        with atomic_path(temporary / CARD) as path:
            path.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[Path]:
    """Yield a new folder, whose files are put into `folder` when the block ends without an error.

    Raises:
        OSError: if they cannot be written; it names a path in `folder`.
    """
    folder = folder.resolve()  # `.` has no name, and a link may lead to another file system
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if not folder.is_dir() or not any(folder.iterdir()):
            temporary.replace(folder)
            return
        for path in sorted(temporary.iterdir(), reverse=True):
            path.replace(folder / path.name)
    except OSError as error:
        if error.errno is None or error.filename is None:
            raise
        path = Path(str(error.filename).replace(str(temporary), str(folder)))
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
