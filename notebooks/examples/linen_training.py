"""Train a Flax linen network with the library's own training step.

`create_state` initialises a network and its optimizer. `make_train_step` compiles the forward pass,
the loss, the gradients and the update for all devices; its metrics are the mean loss and the
learning rate. A `Transform` augments the images on the device.
"""

import jax
import numpy as np

import resnet_jax as rj

# The handwritten digits of scikit-learn: uint8 images of 8×8 pixels, no download.
digits = rj.load_dataset("digits")
transform = rj.Transform(source=(8, 8), resize=9, crop=8, mean=digits.mean, std=digits.std)


def prepare(images, labels, keys):
    """Crop at random and normalise, with one random key for each example."""
    return transform.random(images, keys), labels


# ResNet-20 with one block in each stage, and half as wide.
model = rj.resnet20(num_classes=10, layers=(1, 1, 1), base_planes=8)
tx = rj.make_optimizer(0.1, momentum=0.9, weight_decay=1e-4)
engine = rj.Engine.create()  # all devices
state = engine.replicate(rj.create_state(model, tx, jax.random.key(0), (1, 8, 8, 1)))
step = rj.make_train_step(model, tx, engine=engine, prepare=prepare)

rng, key = np.random.default_rng(0), engine.share(jax.random.key(1))
losses = []
for _ in range(100):
    chosen = rng.choice(len(digits.train.images), 64, replace=False)
    batch = rj.Batch(digits.train.images[chosen], digits.train.labels[chosen])
    state, metrics = step(state, engine.place(batch), key)
    losses.append(float(metrics["loss"]))

# `predict_logits` evaluates in batches of one shape and leaves out no image.
variables = engine.unreplicate(state).variables
logits = rj.predict_logits(model, variables, digits.test.images, transform.center, batch_size=64)
accuracy = rj.accuracy(digits.test.labels, logits.argmax(1))
print(f"loss {losses[0]:.2f} → {losses[-1]:.2f}, test accuracy {accuracy:.1%}")
