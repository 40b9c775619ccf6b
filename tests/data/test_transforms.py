"""The transform equals Pillow's resize and NumPy's crop on real images."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from resnet_jax.data import Transform, load_dataset

CIFAR = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2023, 0.1994, 0.2010)}
PLAIN = {"mean": (0.0,), "std": (1.0,)}


@pytest.fixture(scope="module")
def photos():
    """Patches of 32×32 pixels from two photographs, at full detail and reduced."""
    rng = np.random.default_rng(0)
    patches = []
    for photo in load_sample_images().images:
        small = np.asarray(Image.fromarray(photo).reduce(8))
        for source in (photo, small):
            for _ in range(8):
                row, column = rng.integers(0, np.array(source.shape[:2]) - 31)
                patches.append(source[row : row + 32, column : column + 32])
    return np.stack(patches)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits").train.images[:24]


def pillow(images, transform, offsets):
    """Resize and crop one by one, uint8."""
    out = []
    for image, (row, column) in zip(images, offsets, strict=True):
        size = (transform.resize, transform.resize)
        whole = Image.fromarray(image.squeeze()).resize(size, Image.Resampling.BILINEAR)
        whole = np.asarray(whole).reshape(*size, -1)
        out.append(whole[row : row + transform.crop, column : column + transform.crop])
    return np.stack(out)


def some_offsets(transform, n, seed=1):
    last = transform.resize - transform.crop
    offsets = np.random.default_rng(seed).integers(0, last + 1, (n, 2), dtype=np.int32)
    offsets[0], offsets[1] = 0, last
    return offsets


def levels(transform, x):
    """Back to grey levels of 0 to 255, not clipped and not rounded."""
    return (np.asarray(x, np.float64) * transform.std + np.array(transform.mean)) * 255


@pytest.mark.parametrize(
    ("resize", "crop"), [(120, 110), (32, 32), (32, 28), (33, 33), (64, 1), (20, 17), (9, 9)]
)
def test_equals_pillow_on_photos(photos, resize, crop):
    transform = Transform(source=(32, 32), resize=resize, crop=crop, **CIFAR)
    offsets = some_offsets(transform, len(photos))
    ours = levels(transform, jax.jit(transform.at)(photos, offsets))
    assert np.abs(ours - pillow(photos, transform, offsets)).max() < 1e-3


@pytest.mark.parametrize(("resize", "crop"), [(120, 110), (32, 32), (8, 8), (6, 5)])
def test_equals_pillow_on_digits(digits, resize, crop):
    transform = Transform(source=(8, 8), resize=resize, crop=crop, **PLAIN)
    offsets = some_offsets(transform, len(digits))
    ours = levels(transform, jax.jit(transform.at)(digits, offsets))
    assert np.abs(ours - pillow(digits, transform, offsets)).max() < 1e-3


def test_equals_pillow_on_an_oblong_source(photos):
    oblong = photos[:, 3:23]
    transform = Transform(source=(20, 32), resize=48, crop=40, **CIFAR)
    offsets = some_offsets(transform, len(oblong))
    ours = levels(transform, transform.at(oblong, offsets))
    assert np.abs(ours - pillow(oblong, transform, offsets)).max() < 1e-3


def test_one_side_already_of_that_size(photos):
    oblong = photos[:, :, 4:24]
    transform = Transform(source=(32, 20), resize=32, crop=30, **CIFAR)
    offsets = some_offsets(transform, len(oblong))
    ours = levels(transform, transform.at(oblong, offsets))
    assert np.abs(ours - pillow(oblong, transform, offsets)).max() < 1e-3


def test_identity_keeps_every_pixel(photos):
    transform = Transform(source=(32, 32), resize=32, crop=32, mean=(0.0,) * 3, std=(1.0,) * 3)
    out = transform.center(jnp.asarray(photos))
    assert np.array_equal(np.rint(np.asarray(out) * 255), photos)
    assert np.array_equal(out, transform.random(jnp.asarray(photos), jax.random.key(0)))


def test_normalises_as_torch_does(photos):
    torch = pytest.importorskip("torch")
    transform = Transform(source=(32, 32), resize=32, crop=32, **CIFAR)
    ours = np.asarray(transform.center(jnp.asarray(photos)))
    mean, std = (torch.tensor(CIFAR[name]) for name in ("mean", "std"))
    theirs = (torch.from_numpy(photos).float().div(255) - mean) / std
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-6)


def test_random_is_uniform_over_all_places():
    n = 4000
    gradient = np.arange(6, dtype=np.uint8)[:, None] * 10 + np.arange(6, dtype=np.uint8)
    images = jnp.broadcast_to(jnp.asarray(gradient)[None, :, :, None], (n, 6, 6, 1))
    transform = Transform(source=(6, 6), resize=6, crop=4, **PLAIN)
    out = jax.jit(transform.random)(images, jax.random.key(0))
    corners = np.rint(np.asarray(out)[:, 0, 0, 0] * 255).astype(int)
    places, counts = np.unique(corners, return_counts=True)
    assert places.tolist() == [10 * row + column for row in range(3) for column in range(3)]
    # 4000/9 ≈ 444 each, with a standard deviation of 20.
    assert counts.min() > 340
    assert counts.max() < 550


def test_random_depends_on_the_key_alone(photos):
    transform = Transform(source=(32, 32), resize=40, crop=32, **CIFAR)
    first, again, other = (transform.random(photos, jax.random.key(s)) for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_with_its_own_key_an_image_does_not_depend_on_its_batch(photos):
    transform = Transform(source=(32, 32), resize=40, crop=32, **CIFAR)
    keys = jax.random.split(jax.random.key(0), len(photos))
    whole = transform.random(photos, keys)
    part = transform.random(photos[5:8], keys[5:8])
    assert np.array_equal(whole[5:8], part)
    assert len({np.asarray(x).tobytes() for x in transform.random(photos[[0] * 8], keys[:8])}) > 1


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (jax.random.PRNGKey(0), r"must come from `jax\.random\.key`"),
        (jax.random.split(jax.random.key(0), 3), r"shape \(3,\); expected \(\) or \(2,\)"),
    ],
)
def test_bad_keys_are_named(photos, key, message):
    transform = Transform(source=(32, 32), **CIFAR)
    with pytest.raises(ValueError, match=message):
        transform.random(photos[:2], key)


@pytest.mark.parametrize(("resize", "crop", "offset"), [(120, 110, 5), (9, 4, 2), (11, 4, 4)])
def test_center_is_where_torchvision_cuts(digits, resize, crop, offset):
    transform = Transform(source=(8, 8), resize=resize, crop=crop, **PLAIN)
    offsets = np.full((len(digits), 2), offset, np.int32)
    assert np.array_equal(transform.center(digits), transform.at(digits, offsets))


def test_denormalise_undoes(photos):
    transform = Transform(source=(32, 32), resize=32, crop=32, **CIFAR)
    back = transform.denormalise(transform.center(photos))
    np.testing.assert_allclose(back, photos / 255, rtol=0, atol=1e-6)
    assert float(transform.denormalise(np.full((1, 3), 99.0)).max()) == 1.0
    assert float(transform.denormalise(np.full((2, 2, 3), -99.0)).min()) == 0.0


def test_is_hashable_and_compiles_once(photos):
    step = jax.jit(lambda t, x, k: t.random(x, k), static_argnums=0)
    for seed in range(3):
        step(Transform(source=(32, 32), resize=40, crop=32, **CIFAR), photos, jax.random.key(seed))
    assert step._cache_size() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": (0, 32)}, r"`source` \(=\(0, 32\)\)"),
        ({"source": (32,)}, "`source`"),
        ({"resize": 0}, r"`resize` \(=0\) must be at least 1"),
        ({"crop": -2}, r"`crop` \(=-2\) must be at least 1"),
        ({"crop": 120, "resize": 110}, r"`crop` \(=120\) must not exceed `resize` \(=110\)"),
        ({"std": (0.1, 0.0, 0.1)}, "`std` .* must be positive"),
        ({"std": (0.1, float("nan"), 0.1)}, "`std` .* must be positive"),
        ({"mean": (0.1, float("inf"), 0.1)}, "`mean` .* must be finite"),
        ({"mean": (0.5,)}, "one entry per channel"),
        ({"mean": (), "std": ()}, "one entry per channel"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Transform(**{"source": (32, 32), **CIFAR, **change})


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((2, 32, 32, 1), np.uint8, r"shape \(2, 32, 32, 1\); expected \[batch, 32, 32, 3\]"),
        ((32, 32, 3), np.uint8, r"shape \(32, 32, 3\)"),
        ((2, 28, 28, 3), np.uint8, r"shape \(2, 28, 28, 3\)"),
        ((2, 32, 32, 3), np.float32, "dtype float32; expected uint8"),
    ],
)
def test_bad_images_are_named(shape, dtype, message):
    transform = Transform(source=(32, 32), **CIFAR)
    with pytest.raises(ValueError, match=message):
        transform.center(np.zeros(shape, dtype))


@pytest.mark.parametrize(("mean", "shape"), [((0.5,) * 3, (8, 8, 1)), ((0.5,), (8, 8, 3))])
def test_denormalise_names_other_channels(mean, shape):
    transform = Transform(source=(8, 8), resize=8, crop=8, mean=mean, std=mean)
    message = rf"^`x` has shape {re.escape(str(shape))}; expected \[\.\.\., {len(mean)}\]$"
    with pytest.raises(ValueError, match=message):
        transform.denormalise(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match=r"^`x` has shape \(\); expected"):
        transform.denormalise(np.float32(0))
