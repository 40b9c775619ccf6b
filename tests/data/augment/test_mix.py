import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.data.augment import CutMix, Mixup

COUNT = 1000
# Every image has one value, its number, and its number's label.
IMAGES = jnp.broadcast_to(
    jnp.arange(COUNT, dtype=jnp.float32)[:, None, None, None], (COUNT, 8, 8, 1)
)
LABELS = jnp.eye(COUNT)


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(4), COUNT)


def weights(labels):
    """Of the examples themselves; the rest is their neighbour's and nobody else's."""
    own = np.diagonal(labels)
    neighbours = np.arange(COUNT) ^ 1
    np.testing.assert_allclose(own + labels[np.arange(COUNT), neighbours], 1, atol=1e-6)
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    return own, neighbours


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup(keys, alpha):
    images, labels = Mixup(alpha)(keys, IMAGES, LABELS)
    own, neighbours = weights(np.asarray(labels))
    expected = own * np.arange(COUNT) + (1 - own) * neighbours
    np.testing.assert_allclose(
        images, np.broadcast_to(expected[:, None, None, None], images.shape), rtol=1e-5
    )
    # Of Beta(alpha, alpha).
    assert own.mean() == pytest.approx(0.5, abs=0.05)
    assert own.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.15)


def test_cutmix(keys):
    images, labels = CutMix(1.0)(keys, IMAGES, LABELS)
    own, neighbours = weights(np.asarray(labels))
    pixels = np.asarray(images)[..., 0]
    taken = pixels == neighbours[:, None, None]
    assert (taken | (pixels == np.arange(COUNT)[:, None, None])).all()
    np.testing.assert_allclose(taken.mean((1, 2)), 1 - own, atol=1e-6)
    rows, columns = taken.any(2).sum(1), taken.any(1).sum(1)
    np.testing.assert_array_equal(taken.sum((1, 2)), rows * columns)
    assert 0.5 < own.mean() < 0.8
    assert rows.max() == 8


@pytest.mark.parametrize("augmentation", [Mixup(), CutMix()])
def test_what_cannot_be_mixed(augmentation, keys):
    with pytest.raises(ValueError, match=r"`labels` has shape \(1000,\); to mix them"):
        augmentation(keys, IMAGES, jnp.arange(COUNT))
    with pytest.raises(ValueError, match="`images` has 3 examples on each device"):
        augmentation(keys[:3], IMAGES[:3], LABELS[:3])


@pytest.mark.parametrize("kind", [Mixup, CutMix])
@pytest.mark.parametrize("alpha", [0.0, -1.0, float("inf")])
def test_bad_alpha(kind, alpha):
    with pytest.raises(ValueError, match=r"`alpha` \(=.*\) must be finite and above 0"):
        kind(alpha)
