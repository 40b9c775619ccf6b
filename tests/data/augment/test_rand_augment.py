import jax
import numpy as np
import pytest

from resnet_jax.data.augment import RandAugment
from resnet_jax.data.augment.rand_augment import OPERATIONS


def test_every_operation_is_drawn_equally_often(photos):
    """By what each makes of one image at full strength, its two signs apart."""
    image, count = photos[0], 1400
    results = {}
    for name, operation in OPERATIONS.items():
        for sign in (-1.0, 1.0):
            pixels = np.asarray(jax.jit(operation)(image, np.float32(1), np.float32(sign)))
            results[pixels.tobytes()] = name
    keys = jax.random.split(jax.random.key(5), count)
    images = np.broadcast_to(image, (count, *image.shape))
    augmented, _ = jax.jit(RandAugment(1, 30))(keys, images, np.zeros(count))
    names = [results.get(pixels.tobytes()) for pixels in np.asarray(augmented)]
    assert None not in names
    counts = {name: names.count(name) for name in OPERATIONS}
    assert min(counts.values()) > 60
    assert max(counts.values()) < 145


def test_operations_are_done_one_after_the_other(photos, keys):
    brighten = (lambda image, strength, sign: image + 1,)
    dark = photos // 2
    augmented, _ = RandAugment(3, operations=brighten)(keys, dark, keys)
    np.testing.assert_array_equal(augmented, dark + 3)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`num_ops` \(=0\) must be at least 1"):
        RandAugment(0)
    with pytest.raises(ValueError, match=r"`magnitude` \(=31\) must be in \[0, 30\]"):
        RandAugment(2, 31)
