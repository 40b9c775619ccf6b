"""What every augmentation keeps to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.data import Transform
from resnet_jax.data.augment import (
    AUGMENTATIONS,
    Augmentation,
    CutMix,
    Cutout,
    Flip,
    Mixup,
    OneOf,
    PadCrop,
    Pipeline,
    RandomErasing,
    RandomResizedCrop,
)

KINDS = [
    *(pytest.param(kind(), id=name) for name, kind in AUGMENTATIONS.items()),
    pytest.param(OneOf((Mixup(), CutMix())), id="one of"),
    pytest.param(RandomErasing(0.5, "pixel"), id="erase by pixel"),
]
LABELS = np.arange(64, dtype=np.int32) % 10


def inputs(augmentation, images):
    if augmentation.stage == "normalised":
        images = images.astype(np.float32) / 64 - 2
    return jnp.asarray(images), jax.nn.one_hot(LABELS, 10) if augmentation.mixes else LABELS


@pytest.fixture(scope="module", params=KINDS)
def compiled(request):
    """One compilation of each, for all tests."""
    return request.param, jax.jit(request.param)


def test_shapes_types_and_values(compiled, keys, photos):
    augmentation, function = compiled
    assert isinstance(augmentation, Augmentation)
    images, labels = inputs(augmentation, photos)
    result, new_labels = function(keys, images, labels)
    assert (result.shape, result.dtype) == (images.shape, images.dtype)
    assert (new_labels.shape, new_labels.dtype) == (labels.shape, labels.dtype)
    if not augmentation.mixes:
        np.testing.assert_array_equal(new_labels, labels)
    assert int((result != images).any((1, 2, 3)).sum()) > 10
    if augmentation.stage == "normalised" and augmentation != RandomErasing(0.5, "pixel"):
        assert float(jnp.abs(result).max()) <= 2


def test_each_example_goes_by_its_own_key(compiled, keys, photos):
    """Wherever in the batch it is, so that devices may share the batch out: pairs stay pairs."""
    augmentation, function = compiled
    batch = (keys, *inputs(augmentation, photos))
    first = function(*batch)
    for one, two in zip(first, function(*batch), strict=True):
        np.testing.assert_array_equal(one, two)
    moved = function(*(jnp.roll(leaf, 16, axis=0) for leaf in batch))
    for one, two in zip(first, moved, strict=True):
        np.testing.assert_array_equal(jnp.roll(one, 16, axis=0), two)
    other, _ = function(keys[::-1], *batch[1:])
    assert (other != first[0]).any()


@pytest.mark.parametrize(
    ("augmentation", "dtype"),
    [
        (Cutout(), jnp.bfloat16),
        (RandomErasing(1.0), jnp.bfloat16),
        (RandomErasing(1.0, "random"), jnp.float16),
        (RandomErasing(1.0, "pixel"), jnp.bfloat16),
        (Mixup(), jnp.float16),
        (OneOf((Mixup(), CutMix())), jnp.bfloat16),
    ],
)
def test_narrow_types_are_kept(augmentation, dtype, keys, photos):
    """The results are those of the same values in float32, rounded."""
    function = jax.jit(augmentation)
    images, labels = inputs(augmentation, photos)
    narrow = [images.astype(dtype), labels.astype(dtype) if augmentation.mixes else labels]
    wide = [values.astype(old.dtype) for values, old in zip(narrow, (images, labels), strict=True)]
    result, expected = function(keys, *narrow), function(keys, *wide)
    for ours, given, theirs in zip(result, narrow, expected, strict=True):
        assert ours.dtype == given.dtype
        np.testing.assert_allclose(
            ours.astype(np.float32), theirs.astype(dtype).astype(np.float32), rtol=0.01
        )


@pytest.mark.parametrize("augmentation", [Flip(), Cutout(5), Mixup()])
def test_the_same_without_jit(augmentation, keys, photos):
    batch = (keys, *inputs(augmentation, photos))
    for one, two in zip(augmentation(*batch), jax.jit(augmentation)(*batch), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


TRANSFORM = Transform(source=(16, 16), resize=20, crop=18, mean=(0.4,) * 3, std=(0.2,) * 3)


def test_a_pipeline_without_augmentations_is_the_transform(keys, photos):
    images, labels = Pipeline(TRANSFORM, (), 10)(photos, LABELS, keys)
    np.testing.assert_array_equal(images, TRANSFORM.random(photos, keys))
    np.testing.assert_array_equal(labels, LABELS)


def test_a_pipeline_normalises_after_the_pixels(keys, photos):
    """With nothing flipped the images are the transform's own, to the bit."""
    images, labels = Pipeline(TRANSFORM, (Flip(0.0),), 10)(photos, LABELS, keys)
    np.testing.assert_array_equal(images, TRANSFORM.random(photos, keys))
    flipped, _ = Pipeline(TRANSFORM, (Flip(1.0),), 10)(photos, LABELS, keys)
    np.testing.assert_array_equal(flipped, images[:, :, ::-1])
    np.testing.assert_array_equal(labels, LABELS)


def test_a_pipeline_makes_labels_one_hot_to_mix(keys, photos):
    pipeline = Pipeline(TRANSFORM, (PadCrop(2), Mixup(1e-6)), 10)
    images, labels = jax.jit(pipeline)(photos, LABELS, keys)
    assert images.shape == (64, 18, 18, 3)
    # So small an alpha takes one of the two, whole.
    nearest = np.asarray(labels).argmax(1)
    assert ((nearest == LABELS) | (nearest == LABELS.reshape(-1, 2)[:, ::-1].ravel())).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_labels_to_mix_of_a_type_that_does_not_hold_the_number_of_classes(keys, photos, dtype):
    pipeline = Pipeline(TRANSFORM, (Mixup(0.5),), 700)
    given, expected = (pipeline(photos, LABELS.astype(t), keys)[1] for t in (dtype, np.int32))
    np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize(
    ("augmentations", "message"),
    [
        ((PadCrop(), Mixup(), Flip()), "Flip works on pixels and must come before Mixup"),
        (
            (Flip(), RandomResizedCrop()),
            "RandomResizedCrop works on stored images and must come before Flip, which works on pi",
        ),
        ((RandomResizedCrop(), RandomResizedCrop()), "both crop the stored images; keep one"),
    ],
)
def test_an_order_that_cannot_be(augmentations, message):
    with pytest.raises(ValueError, match=message):
        Pipeline(TRANSFORM, augmentations, 10)
