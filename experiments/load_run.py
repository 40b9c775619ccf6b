"""Open the run folder that a training has written: its network, weights and class names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from resnet_jax.data import DATASETS, ImageTransform, Transform
from resnet_jax.models import ResNet
from resnet_jax.run import CheckpointChoice, DataFacts, RunError, RunFolder

from .options import FOLDER
from .source_options import SQUASHED, SourceImageOptions, SourceModelOptions
from .streams import tell

NETWORK_OPTIONS = tuple(field.name for field in fields(SourceModelOptions))
REQUIRED = ("variant", "dataset", "resize", "crop")
"""Options without which a `config.json` describes no run."""


@dataclass(frozen=True)
class Run:
    """A trained network and what belongs to it.

    Attributes:
        folder: the run folder.
        step: optimizer steps of the checkpoint.
        epoch: epochs finished by then; None if the checkpoint does not say.
        checkpoint: how it was chosen.
        config: the flat options that the run was started with; JSON values.
        model: the network.
        variables: its `params` and `batch_stats` of the checkpoint, on the default device.
        data: class names, image size and normalisation.
        transform: transform of images of the run's own size; validation used its `center`.
        image_transform: the same for images of any size, resized as the run's own images were.
    """

    folder: Path
    step: int
    epoch: int | None
    checkpoint: CheckpointChoice
    config: Mapping[str, Any]
    model: ResNet
    variables: Mapping[str, Any]
    data: DataFacts
    transform: Transform
    image_transform: ImageTransform

    @property
    def origin(self) -> str:
        """Where the weights come from, for people."""
        epoch = "" if self.epoch is None else f", after epoch {self.epoch}"
        return f"{self.checkpoint} checkpoint of {self.folder}: step {self.step}{epoch}"


def open_run(path: Path, checkpoint: CheckpointChoice = "best") -> Run:
    """Read a run and one of its checkpoints; nothing in the folder is changed.

    Newer checkpoints that are damaged are passed over, with a warning on standard error.

    Args:
        path: a folder that a training has written; the run may still be going on.
        checkpoint: that of the epoch with the highest validation accuracy so far, or the newest
            whole one.

    Raises:
        RunError: if there is no such run.
        CheckpointError: if it has no such checkpoint, or that is damaged.
        ValueError: for another `checkpoint`.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    for name in REQUIRED:
        if name not in config:
            raise RunError(
                f"{folder.config_path} is not of a run of this version: it lacks {name!r}"
            )
    data = _data_facts(folder, config)
    try:
        network = {name: config[name] for name in NETWORK_OPTIONS if name in config}
        model = SourceModelOptions(**network).build(len(data.class_names))
        # Images of a named data set are resized whole, as all of older runs were.
        chosen = config if config["dataset"] == FOLDER else {}
        images = SourceImageOptions(
            resize=config["resize"],
            crop=config["crop"],
            eval_crop=config.get("eval_crop"),
            crop_mode=chosen.get("crop_mode", SQUASHED.crop_mode),
            interpolation=chosen.get("interpolation", SQUASHED.interpolation),
        )
        image_transform = images.build_image_transform(data.mean, data.std)
        transform = images.build((data.side, data.side), data.mean, data.std)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{folder.config_path} is not of a run of this version: {error}") from error
    step, damages = folder.checkpoints.choose(checkpoint)
    for newer, damage in damages.items():
        tell(f"warning: checkpoint {newer} is damaged ({damage}); it is passed over")
    image = jnp.zeros((1, 32, 32, len(data.mean)))
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    variables = folder.checkpoints.read_variables(step, shapes)
    epoch = folder.checkpoints.read_progress(step).get("epoch")
    return Run(
        folder=folder.path,
        step=step,
        epoch=epoch if isinstance(epoch, int) else None,
        checkpoint=checkpoint,
        config=config,
        model=model,
        variables=jax.device_put(variables),
        data=data,
        transform=transform,
        image_transform=image_transform,
    )


def _data_facts(folder: RunFolder, config: Mapping[str, Any]) -> DataFacts:
    """Return what the run folder says of the data, or else the registry.

    Raises:
        RunError: if neither knows the data.
    """
    facts = folder.read_data()
    if facts is not None:
        return facts
    spec = DATASETS.get(config["dataset"])
    if spec is None:
        raise RunError(
            f"{folder.data_path} is missing; without it the classes of `dataset` "
            f"(={config['dataset']!r}) are not known"
        )
    return DataFacts(spec.class_names, spec.side, spec.mean, spec.std)
