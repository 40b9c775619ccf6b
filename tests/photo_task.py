"""A tiny task on image files that are read when they are needed."""

import jax
import numpy as np
from tiny_task import Small, quiet_reporter

import resnet_jax as rj
from resnet_jax.data import ImageStream, ImageTransform, RandomResizedCrop, open_records
from resnet_jax.run import FitConfig, RunFolder, Task, fit
from resnet_jax.training import make_optimizer

CONFIG = FitConfig(epochs=2, batch_size=16, eval_batch_size=16, seed=5, checkpoint_every=1)
"""Three steps an epoch of 52 images."""


def prepare(images, labels, keys):
    """Prepare a batch."""
    del keys
    return images.astype(np.float32) / 255 - 0.5, labels


def photo_task(root, **changes):
    """Return a task on the images of a folder, cropped at random and read by `workers`."""
    options = {"center": ImageTransform(resize=12, crop=8), "random": RandomResizedCrop(size=8)}
    records = open_records(root)
    train, valid = (
        ImageStream(records=part, **{**options, **changes})
        for part in (records.train, records.valid)
    )
    return Task(
        model=Small(),
        tx=make_optimizer(0.05),
        controller=rj.ReduceLROnPlateau(patience=0),
        train=train,
        valid=valid,
        prepare=prepare,
        prepare_valid=prepare,
    )


def fit_photos(folder, root, *, resume=False, sinks=(), **changes):
    """Train on a folder of images; return losses, accuracies and the leaves of the state."""
    result = fit(
        photo_task(root, **changes),
        CONFIG,
        folder=RunFolder(folder, resume=resume),
        sinks=sinks,
        reporter=quiet_reporter(),
    )
    history = result.history
    accuracies = [*history.train_accuracy, *history.valid_accuracy]
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(result.state)]
    return history.minibatch_losses, accuracies, leaves
