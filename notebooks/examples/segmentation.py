"""A dilated backbone for segmentation, by `features`.

A ResNet shrinks its maps by 32. With `replace_stride_with_dilation` the last two stages spread
their kernels instead of striding, so that the maps stay four times as large with the same
parameters; pretrained weights fit. The head reads `features["layer4"]` and gives every pixel a
class.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import resnet_jax as rj
from resnet_jax.models import Conv

CLASSES = ("background", "disc", "square")


class Segmenter(nn.Module):
    """A fully convolutional network."""

    backbone: rj.ResNet
    num_classes: int

    @nn.compact
    def __call__(self, x, train=False):
        y = self.backbone.features(x, train)["layer4"]
        y = nn.relu(rj.BatchNorm(name="bn")(Conv(32, 3, name="conv")(y), train))
        y = nn.Conv(self.num_classes, (1, 1), name="classifier")(y)
        return jax.image.resize(y, (*x.shape[:3], self.num_classes), "bilinear")


def draw(rng, count, size=32):
    """Return noisy images of one disc and one square, and the class of each pixel."""
    places = rng.integers(7, size - 7, (2, 2, count, 1, 1))
    rows, columns = np.mgrid[:size, :size]
    (disc, square) = np.abs(np.stack([rows, columns])[None, :, None] - places)
    labels = np.where(np.maximum(*square) <= 5, 2, np.where(np.hypot(*disc) <= 6, 1, 0))
    brightness = np.array([0.0, 1.0, -1.0])[labels]
    return np.float32(brightness + 0.5 * rng.standard_normal(labels.shape))[..., None], labels


backbone = rj.ResNet(
    rj.Bottleneck,
    (1, 1, 1, 1),
    base_planes=8,
    replace_stride_with_dilation=(False, True, True),
)
model = Segmenter(backbone, len(CLASSES))
variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 32, 32, 1)))
tx = optax.adam(3e-3)
opt_state = tx.init(variables["params"])


@jax.jit
def train_step(variables, opt_state, images, labels):
    """Return the variables and the optimizer's state after, and the loss."""

    def loss_fn(params):
        logits, updates = model.apply(
            {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), updates

    (loss, stats), gradients = jax.value_and_grad(loss_fn, has_aux=True)(variables["params"])
    updates, opt_state = tx.update(gradients, opt_state)
    return {"params": optax.apply_updates(variables["params"], updates), **stats}, opt_state, loss


rng = np.random.default_rng(0)
for _ in range(60):
    variables, opt_state, loss = train_step(variables, opt_state, *draw(rng, 16))

images, labels = draw(rng, 64)
found = np.asarray(jax.jit(model.apply)(variables, images).argmax(-1))
ious = {
    name: float(((found == k) & (labels == k)).sum() / ((found == k) | (labels == k)).sum())
    for k, name in enumerate(CLASSES)
}
print(*[f"IoU of {name} {iou:.2f}" for name, iou in ious.items()], sep=", ")
