"""Train a network with nothing but `model.init`, `model.apply` and optax.

A network is a pure function of its variables: `params`, and `batch_stats` for the running
statistics of BatchNorm. In training `apply` returns the new statistics beside the logits, and the
loop carries them on. Nothing here but the network and the images is the library's.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import resnet_jax as rj

# The handwritten digits of scikit-learn, as floating-point numbers with mean 0 and deviation 1.
digits = rj.load_dataset("digits")


def normalise(images):
    return (jnp.asarray(images, jnp.float32) / 255 - digits.mean[0]) / digits.std[0]


# ResNet-20 with one block in each stage, and half as wide.
model = rj.resnet20(num_classes=10, layers=(1, 1, 1), base_planes=8)
variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
params, batch_stats = variables["params"], variables["batch_stats"]
tx = optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(0.1, momentum=0.9))
opt_state = tx.init(params)


@jax.jit
def train_step(params, batch_stats, opt_state, images, labels):
    """Return the parameters, the statistics and the optimizer's state after, and the loss."""

    def loss_fn(params):
        logits, updates = model.apply(
            {"params": params, "batch_stats": batch_stats},
            normalise(images),
            train=True,
            mutable=["batch_stats"],
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), updates["batch_stats"]

    (loss, new_stats), gradients = jax.value_and_grad(loss_fn, has_aux=True)(params)
    updates, opt_state = tx.update(gradients, opt_state, params)
    return optax.apply_updates(params, updates), new_stats, opt_state, loss


@jax.jit
def predict(params, batch_stats, images):
    """Return the most probable classes, by the running statistics."""
    logits = model.apply({"params": params, "batch_stats": batch_stats}, normalise(images))
    return logits.argmax(1)


rng = np.random.default_rng(0)
losses = []
for _ in range(60):
    chosen = rng.choice(len(digits.train.images), 64, replace=False)
    images, labels = digits.train.images[chosen], digits.train.labels[chosen]
    params, batch_stats, opt_state, loss = train_step(
        params, batch_stats, opt_state, images, labels
    )
    losses.append(float(loss))

accuracy = rj.accuracy(digits.test.labels, predict(params, batch_stats, digits.test.images))
print(f"loss {losses[0]:.2f} → {losses[-1]:.2f}, test accuracy {accuracy:.1%}")
