"""Sizes and counts of NumPy and JAX, whose few bits must not wrap, give what Python's give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from resnet_jax.data import (
    ImageStream,
    ImageTransform,
    RandomResizedCrop,
    Transform,
    augment,
    eval_batches,
    load_image_folder,
    num_batches,
    read_images,
    split_indices,
)

MADE_OF_ONE = {
    "PadCrop": augment.PadCrop,
    "Cutout": augment.Cutout,
    "RandAugment": augment.RandAugment,
    "augment.RandomResizedCrop": lambda n: augment.RandomResizedCrop(size=(n, n)),
    "RandomResizedCrop": lambda n: RandomResizedCrop(size=n),
    "ImageTransform": lambda n: ImageTransform(resize=n, crop=n),
    "Transform": lambda n: Transform(source=(n, n), resize=n, crop=n, mean=(0.5,), std=(0.5,)),
    "ImageStream": lambda n: repr(
        ImageStream(records=None, center=ImageTransform(), repeats=n, workers=n)
    ),
}


@pytest.mark.parametrize("number", [np.uint8(200), np.array(200), jnp.uint8(200)])
@pytest.mark.parametrize("make", MADE_OF_ONE.values(), ids=list(MADE_OF_ONE))
def test_what_is_made_of_them_is_the_same(make, number):
    made = make(number)
    assert made == make(200)
    assert hash(made) == hash(make(200))
    assert repr(made) == repr(make(200))


@pytest.mark.parametrize("name", ["PadCrop", "Cutout", "RandAugment", "RandomResizedCrop"])
def test_other_numbers_are_refused(name):
    with pytest.raises(TypeError, match=r"^`\w+` \(=2.0\) must be a whole number$"):
        MADE_OF_ONE[name](2.0)


def test_a_wide_border():
    images = np.random.default_rng(0).integers(1, 256, (2, 3, 3, 1), dtype=np.uint8)
    keys = jax.random.split(jax.random.key(0), 2)
    ours, _ = augment.PadCrop(np.uint8(200))(keys, images, keys)
    np.testing.assert_array_equal(ours, augment.PadCrop(200)(keys, images, keys)[0])


@pytest.mark.parametrize("n", [np.uint8(200), 1000])
def test_batches(n):
    size = np.uint8(150)
    for drop_last in (False, True):
        found = num_batches(n, size, drop_last)
        assert type(found) is int
        assert found == num_batches(int(n), 150, drop_last)
    for ours, expected in zip(eval_batches(n, size), eval_batches(int(n), 150), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_split():
    for ours, expected in zip(
        split_indices(np.uint8(200), seed=np.uint8(7)), split_indices(200, seed=7), strict=True
    ):
        np.testing.assert_array_equal(ours, expected)
    with pytest.raises(TypeError, match=r"^`n` \(=20.0\) must be a whole number$"):
        split_indices(20.0)
    with pytest.raises(TypeError, match=r"^`seed` \(=1.5\) must be a whole number$"):
        split_indices(20, seed=1.5)


def test_sizes_of_images():
    height, width = np.uint8(200), np.uint8(250)
    transform = ImageTransform(resize=np.uint8(250), crop=np.uint8(200))
    assert transform.resized(height, width) == (250, 312)
    assert transform.on_device(height, width) == transform.on_device(200, 250)
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    expected = ImageTransform(resize=250, crop=200)(image)
    np.testing.assert_array_equal(transform(image), expected)
    with pytest.raises(ValueError, match=r"`width` \(=0\) must be at least 1"):
        transform.on_device(200, 0)


def test_a_random_crop_of_a_large_image():
    crop = RandomResizedCrop(size=np.uint8(200))
    boxes = [
        crop.draw(np.random.default_rng(0), *size)
        for size in [(200, 250), (np.uint8(200), np.uint8(250))]
    ]
    assert boxes[0] == boxes[1]


def test_files_of_images(tmp_path):
    side, most = np.uint8(200), np.uint16(60_000)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(100):
            Image.new("RGB", (5, 4), (number, 0, 0)).save(tmp_path / name / f"{number}.png")
    data = load_image_folder(tmp_path, side=side, channels=np.uint8(3), max_pixels=most)
    assert data.dataset.train.images.shape == (162, 200, 200, 3)
    (image,) = read_images([tmp_path / "a" / "7.png"], channels=3, side=side, max_pixels=most)
    assert image.shape == (200, 200, 3)
    for name in ("side", "channels", "max_pixels"):
        with pytest.raises(ValueError, match=rf"^`{name}` \(=0\) must be"):
            load_image_folder(tmp_path, **{"side": 4, "channels": 3, "max_pixels": 9, name: 0})
