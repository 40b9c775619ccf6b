import jax
import numpy as np
import pytest

from resnet_jax.data.augment import Flip, PadCrop


def test_shifts_are_uniform_and_bring_black_in():
    keys = jax.random.split(jax.random.key(0), 2500)
    images = np.broadcast_to(np.arange(1, 26, dtype=np.uint8).reshape(5, 5, 1), (2500, 5, 5, 1))
    shifted, _ = PadCrop(2)(keys, images, np.zeros(2500))
    counts = np.bincount(np.asarray(shifted[:, 2, 2, 0]), minlength=26)
    # The middle pixel is each of the 25 equally often: 100 times, with deviation 10.
    assert counts[0] == 0
    assert np.abs(counts[1:] - 100).max() < 45
    shifts = {}
    for image in np.asarray(shifted)[..., 0]:
        shifts.setdefault(int(image[2, 2]), image)
    expected = np.zeros((5, 5), np.uint8)
    expected[:3, :3] = images[0, 2:, 2:, 0]
    np.testing.assert_array_equal(shifts[25], expected)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_flips(probability):
    keys = jax.random.split(jax.random.key(1), 4000)
    images = np.broadcast_to(np.arange(2, dtype=np.uint8).reshape(1, 2, 1), (4000, 1, 2, 1))
    flipped, _ = Flip(probability)(keys, images, np.zeros(4000))
    share = float((flipped[:, 0, 0, 0] == 1).mean())
    assert share == pytest.approx(probability, abs=0.03)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`padding` \(=0\) must be at least 1"):
        PadCrop(0)
    with pytest.raises(ValueError, match=r"`probability` \(=1.5\) must be in \[0, 1\]"):
        Flip(1.5)
