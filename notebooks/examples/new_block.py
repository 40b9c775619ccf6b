"""A block of one's own: a class, and a row that makes a network of it.

`ResidualBlock` has the fields that a network passes to its blocks, the normalisations and the
shortcut; a subclass sets `expansion` and computes the residual branch. Everything that works with
the library's networks then works with the new one: features, frozen stages, precision, devices,
and weights in torch's format.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import resnet_jax as rj
from resnet_jax.models import Conv, ResidualBlock, Variant


class SeparableBlock(ResidualBlock):
    """A 3×3 convolution of each channel by itself, then a 1×1 convolution across channels."""

    expansion = 1  # output channels, as a multiple of `planes`

    @nn.compact
    def __call__(self, x, train=False):
        channels = x.shape[-1]
        y = Conv(channels, 3, self.stride, groups=channels, dtype=self.dtype, name="conv1")(x)
        y = self.act(self.make_norm("bn1")(y, train))
        y = Conv(self.planes, 1, dtype=self.dtype, name="conv2")(y)
        y = self.make_norm("bn2", last=True)(y, train)
        return self.act(self.add_shortcut(y, x, train))


# A row holds what a table of variants says of a network.
ROWS = {
    "separable8": Variant(
        SeparableBlock, (1, 1, 1), 7_322, {"stem": "cifar", "base_planes": 16}, num_classes=10
    ),
}
row = ROWS["separable8"]
model = rj.ResNet(row.block, row.layers, num_classes=row.num_classes, **row.options)

digits = rj.load_dataset("digits")  # uint8 images of 8×8 pixels
transform = rj.Transform(source=(8, 8), resize=8, crop=8, mean=digits.mean, std=digits.std)
images = transform.center(jnp.asarray(digits.train.images[:256]))
batch = rj.Batch(np.asarray(images), digits.train.labels[:256])

tx = rj.make_optimizer(0.1, momentum=0.9)
engine = rj.Engine.create()
state = rj.create_state(model, tx, jax.random.key(0), (1, 8, 8, 1))
count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
print(f"{count:,} parameters in {', '.join(state.params)}")

step = rj.make_train_step(model, tx, engine=engine)
state, placed = engine.replicate(state), engine.place(batch)
losses = []
for _ in range(20):
    state, metrics = step(state, placed, engine.share(jax.random.key(1)))
    losses.append(float(metrics["loss"]))
print(f"loss {losses[0]:.2f} → {losses[-1]:.2f}")

# torch's names follow from the names of the modules.
variables = jax.tree.map(np.asarray, engine.unreplicate(state).variables)
state_dict = rj.to_torch(model, variables)
print(*[name for name in state_dict if name.startswith("layer2.0.") and name.endswith("weight")])
assert jax.tree.all(jax.tree.map(np.array_equal, rj.from_torch(model, state_dict), variables))
