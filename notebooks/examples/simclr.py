"""Contrastive training (SimCLR) by `make_train_step`, over all devices.

Each image gives two random views; the loss asks each view to find the other one among all views of
the batch. `prepare` makes the views on the device, and a loss of one's own compares them. On
several devices it gathers the views of all of them, so that the number of devices changes no
result.

References:
    Chen et al. 2020, https://arxiv.org/abs/2002.05709
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

import resnet_jax as rj

digits = rj.load_dataset("digits")  # uint8 images of 8×8 pixels; their labels are not used
transform = rj.Transform(source=(8, 8), resize=12, crop=8, mean=digits.mean, std=digits.std)


class Contrastive(nn.Module):
    """A backbone and the projection whose output is compared."""

    axis_name: str | None = None  # set by the training step on several devices, for BatchNorm

    @nn.compact
    def __call__(self, x, train=False):
        backbone = rj.resnet20(layers=(1, 1, 1), base_planes=8, axis_name=self.axis_name)
        pooled = backbone.features(x, train)["pooled"]
        return nn.Dense(16)(nn.relu(nn.Dense(32)(pooled)))


def two_views(images, labels, keys):
    """Return both views of each image, one half after the other, and their labels."""
    first, second = (
        transform.random(images, jax.vmap(jax.random.fold_in, (0, None))(keys, view))
        for view in range(2)
    )
    return jnp.concatenate([first, second]), jnp.concatenate([labels, labels])


def contrastive_loss(axis_name, temperature=0.5):
    """Return the loss of SimCLR, one number for each view of this device."""

    def loss_fn(outputs, labels):
        del labels
        vectors = outputs / jnp.linalg.norm(outputs, axis=-1, keepdims=True)
        everyone, first = vectors, 0
        if axis_name is not None:
            everyone = lax.all_gather(vectors, axis_name, tiled=True)
            first = lax.axis_index(axis_name) * len(vectors)
        mine = first + jnp.arange(len(vectors))
        partner = first + (jnp.arange(len(vectors)) + len(vectors) // 2) % len(vectors)
        similar = vectors @ everyone.T / temperature
        is_self = jnp.arange(len(everyone))[None, :] == mine[:, None]
        scores = jax.nn.log_softmax(jnp.where(is_self, -jnp.inf, similar))
        return -jnp.take_along_axis(scores, partner[:, None], axis=1)[:, 0]

    return loss_fn


def train(devices, steps=30):
    """Return the losses of a training."""
    model, tx = Contrastive(), rj.make_optimizer(0.1, momentum=0.9)
    engine = rj.Engine.create(devices=devices)
    state = engine.replicate(rj.create_state(model, tx, jax.random.key(0), (1, 8, 8, 1)))
    loss_fn = contrastive_loss(engine.mapped_axis)
    step = rj.make_train_step(model, tx, engine=engine, prepare=two_views, loss_fn=loss_fn)
    batch = engine.place(rj.Batch(digits.train.images[:64], digits.train.labels[:64]))
    losses = []
    for _ in range(steps):
        state, metrics = step(state, batch, engine.share(jax.random.key(1)))
        losses.append(float(metrics["loss"]))
    return losses


losses = train(jax.devices())
print(f"{jax.device_count()} devices, loss {losses[0]:.2f} → {losses[-1]:.2f}")
