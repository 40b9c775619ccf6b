"""Train a network as a Flax NNX module.

`rj.nnx` has the same networks as NNX modules: parameters are `nnx.Param`, the running statistics
of BatchNorm are `nnx.BatchStat` and are updated in place, and `model.train()` and `model.eval()`
switch the mode. Everything else is NNX and optax.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import resnet_jax as rj

# The handwritten digits of scikit-learn: uint8 images of 8×8 pixels, no download.
digits = rj.load_dataset("digits")
transform = rj.Transform(source=(8, 8), resize=9, crop=8, mean=digits.mean, std=digits.std)

# ResNet-20 with one block in each stage, and half as wide, for images of one channel.
model = rj.nnx.resnet20(
    num_classes=10, layers=(1, 1, 1), base_planes=8, in_channels=1, rngs=nnx.Rngs(0)
)
tx = optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(0.1, momentum=0.9))
optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)


@nnx.jit
def train_step(model, optimizer, keys, images, labels):
    """Update the model and the optimizer in place, and return the loss."""

    def loss_fn(model):
        logits = model(transform.random(images, keys))
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    loss, gradients = nnx.value_and_grad(loss_fn)(model)
    optimizer.update(model, gradients)
    return loss


@nnx.jit
def predict(model, images):
    """Return the most probable classes."""
    return model(transform.center(images)).argmax(1)


rng, rngs = np.random.default_rng(0), nnx.Rngs(1)
losses = []
for _ in range(100):
    chosen = rng.choice(len(digits.train.images), 64, replace=False)
    images, labels = digits.train.images[chosen], digits.train.labels[chosen]
    keys = jax.random.split(rngs.augment(), 64)
    losses.append(float(train_step(model, optimizer, keys, images, labels)))

model.eval()
accuracy = rj.accuracy(digits.test.labels, predict(model, jnp.asarray(digits.test.images)))
print(f"loss {losses[0]:.2f} → {losses[-1]:.2f}, test accuracy {accuracy:.1%}")

# The linen form has the same arrays, for weight files and for everything that takes variables.
state_dict = rj.to_torch(*rj.nnx.to_linen(model))
print(f"{len(state_dict)} tensors, such as fc.weight {state_dict['fc.weight'].shape}")
