"""Split and transforms equal NumPy's shuffle and Pillow's resampling."""

import jax
import numpy as np
import pytest
from PIL import Image
from rounding import assert_sums_close

from resnet_jax.data import Transform, split_indices

# The reference's statistics, by channel.
TRAIN = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(("n", "seed"), [(50_000, 123), (1797, 123), (101, 0), (9, 2**32 - 1)])
def test_split_is_the_legacy_shuffle(n, seed):
    train, valid = split_indices(n, fraction=0.1, seed=seed)
    np.random.seed(seed)  # noqa: NPY002
    indices = list(range(n))
    np.random.shuffle(indices)  # noqa: NPY002
    count = int(np.floor(0.1 * n))
    assert valid.tolist() == indices[:count]
    assert train.tolist() == indices[count:]


def by_pillow(image, resize, offset, crop, mean, std):
    """One uint8 image resized, cropped, scaled and normalised as the reference does it."""
    shape = image.shape[:2]
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    if shape != (resize, resize):
        picture = picture.resize((resize, resize), Image.Resampling.BILINEAR)
    top, left = offset
    picture = picture.crop((left, top, left + crop, top + crop))
    pixels = np.asarray(picture, np.float64).reshape(crop, crop, -1) / 255
    return (pixels - np.asarray(mean)) / np.asarray(std)


@pytest.mark.parametrize(
    ("source", "resize", "crop", "statistics"),
    [
        ((32, 32), 120, 110, TRAIN),
        ((32, 32), 120, 110, IMAGENET),
        ((28, 28), 120, 110, ((0.2860,), (0.3530,))),
        ((8, 8), 32, 28, ((0.3,), (0.38,))),
        ((32, 32), 32, 30, TRAIN),
        ((64, 64), 40, 33, TRAIN),
    ],
)
def test_transform_is_pillows(source, resize, crop, statistics):
    rng = np.random.default_rng(0)
    mean, std = statistics
    images = rng.integers(256, size=(6, *source, len(mean)), dtype=np.uint8)
    transform = Transform(source=source, resize=resize, crop=crop, mean=mean, std=std)
    offsets = rng.integers(resize - crop + 1, size=(6, 2)).astype(np.int32)
    offsets[0], offsets[1] = 0, resize - crop
    cases = {
        "at": (jax.jit(transform.at)(images, offsets), offsets),
        "center": (jax.jit(transform.center)(images), [(round((resize - crop) / 2),) * 2] * 6),
    }
    for name, (ours, places) in cases.items():
        theirs = [
            by_pillow(image, resize, place, crop, mean, std)
            for image, place in zip(images, places, strict=True)
        ]
        assert ours.dtype == np.float32
        # The pixels are equal; the normalisation rounds in float32.
        pixels = (np.stack(theirs) * std + mean) * 255
        assert_sums_close(ours, np.stack(theirs), (pixels / 255 + mean) / std)
        back = np.asarray(transform.denormalise(ours)) * 255
        np.testing.assert_array_equal(np.rint(back), np.rint(pixels), err_msg=name)


def test_random_crops_are_crops():
    rng = np.random.default_rng(1)
    images = rng.integers(256, size=(32, 32, 32, 3), dtype=np.uint8)
    mean, std = TRAIN
    transform = Transform(source=(32, 32), resize=36, crop=32, mean=mean, std=std)
    found = set()
    for image, crop in zip(
        images, np.asarray(transform.random(images, jax.random.key(0))), strict=True
    ):
        places = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if np.allclose(crop, by_pillow(image, 36, (top, left), 32, mean, std), atol=1e-5)
        ]
        assert len(places) == 1
        found.update(places)
    # 32 draws of 25 places: 18 are expected to be different ones.
    assert len(found) >= 10
