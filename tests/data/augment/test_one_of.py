import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.data.augment import (
    CutMix,
    Cutout,
    Flip,
    Mixup,
    OneOf,
    PadCrop,
    RandomResizedCrop,
)

COUNT = 1000


def test_each_example_gets_one_of_them():
    """Of two neighbours, black and white: mixup makes grey, CutMix leaves the levels."""
    keys = jax.random.split(jax.random.key(9), COUNT)
    images = jnp.broadcast_to(
        jnp.arange(COUNT, dtype=jnp.float32)[:, None, None, None] % 2, (COUNT, 8, 8, 1)
    )
    labels = jax.nn.one_hot(jnp.arange(COUNT) % 2, 2, dtype=jnp.float32)
    augmentation = OneOf([Mixup(1.0), CutMix(1.0)])
    assert (augmentation.stage, augmentation.mixes) == ("normalised", True)
    mixed, new_labels = augmentation(keys, images, labels)
    mixed = np.asarray(mixed)
    # The share of white is in the label, whichever of the two it was.
    np.testing.assert_allclose(mixed.mean((1, 2, 3)), new_labels[:, 1], atol=1e-5)
    grey = ((mixed > 0) & (mixed < 1)).any((1, 2, 3))
    assert grey.mean() == pytest.approx(0.5, abs=0.06)
    flat = mixed.reshape(COUNT, -1)
    np.testing.assert_allclose(flat[grey].min(1), flat[grey].max(1))


def test_three_choices_without_mixing():
    keys = jax.random.split(jax.random.key(10), COUNT)
    images = np.broadcast_to(np.arange(2, dtype=np.uint8).reshape(1, 2, 1), (COUNT, 1, 2, 1))
    augmentation = OneOf((Flip(0.0), Flip(1.0), Flip(1.0)))
    assert (augmentation.stage, augmentation.mixes) == ("pixels", False)
    flipped, labels = augmentation(keys, images, np.arange(COUNT))
    assert float(flipped[:, 0, 0, 0].mean()) == pytest.approx(2 / 3, abs=0.05)
    np.testing.assert_array_equal(labels, np.arange(COUNT))


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ([Flip()], r"`choices` \(=Flip\) must be two augmentations or more"),
        ([PadCrop(), Cutout()], r"`choices` \(=PadCrop, Cutout\) must all work on pixels or all"),
        ([RandomResizedCrop(), RandomResizedCrop()], "must all work on pixels or all"),
    ],
)
def test_what_cannot_be_alternatives(choices, message):
    with pytest.raises(ValueError, match=message):
        OneOf(choices)
