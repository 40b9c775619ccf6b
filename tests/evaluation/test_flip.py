import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import resnet_jax as rj
from resnet_jax.evaluation import FlipAveraged
from resnet_jax.models import fold_batch_norm


class Small(nn.Module):
    @nn.compact
    def __call__(self, images, train=False):
        del train
        return nn.Dense(5)(images.reshape(len(images), -1))


def test_the_mean_over_an_image_and_its_mirror_image():
    images = jax.random.normal(jax.random.key(0), (3, 4, 4, 1))
    variables = Small().init(jax.random.key(1), images)
    looks = [Small().apply(variables, x) for x in (images, jnp.flip(images, axis=2))]
    averaged = FlipAveraged(Small())
    result = averaged.apply(variables, images, train=False)
    np.testing.assert_allclose(result, sum(looks) / 2, rtol=1e-5, atol=1e-6)
    assert (result != looks[0]).any()
    # So that predictions with it compile once.
    assert hash(averaged) == hash(FlipAveraged(Small()))
    shapes = jax.eval_shape(averaged.init, jax.random.key(1), images)
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)


def test_around_and_within_other_wrappers():
    model = rj.ResNet(rj.BasicBlock, (1, 1), 3, base_planes=8, stem="cifar")
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    variables = jax.jit(model.init)(jax.random.key(1), images)
    expected = jax.jit(FlipAveraged(model).apply)(variables, images)
    folded, fewer = fold_batch_norm(model, variables)
    of_averaged, fewest = fold_batch_norm(FlipAveraged(model), variables)
    twice = FlipAveraged(FlipAveraged(model))
    for wrapper, values in (
        (FlipAveraged(folded), fewer),
        (of_averaged, fewest),
        (twice, variables),
        (FlipAveraged(twice), variables),
    ):
        result = jax.jit(wrapper.apply)(values, images)
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)
    shapes = jax.eval_shape(twice.init, jax.random.key(1), images)
    assert jax.tree.structure(shapes) == jax.tree.structure(variables)
