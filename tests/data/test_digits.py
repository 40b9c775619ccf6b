"""The embedded digits: scaling and split."""

import numpy as np
from sklearn import datasets

from resnet_jax.data import load_dataset


def test_pixels_and_split_are_as_documented():
    source = datasets.load_digits()
    order = np.random.RandomState(0).permutation(1797)
    scaled = [[[round(v * 255 / 16) for v in row] for row in image] for image in source.images]
    digits = load_dataset("digits")
    images = np.concatenate([digits.train.images, digits.test.images])
    labels = np.concatenate([digits.train.labels, digits.test.labels])
    assert np.array_equal(images[..., 0], np.array(scaled)[order])
    assert np.array_equal(labels, source.target[order])
    assert digits.train.images.shape == (1437, 8, 8, 1)
    assert digits.test.images.shape == (360, 8, 8, 1)


def test_every_class_is_in_both_parts():
    digits = load_dataset("digits")
    assert set(digits.train.labels.tolist()) == set(digits.test.labels.tolist()) == set(range(10))


def test_fingerprint_is_stable():
    # Changes only with the images, the labels, their order or the way the hash is made.
    assert load_dataset("digits").fingerprint.startswith("c7d8b9d8")
    assert len(load_dataset("digits").fingerprint) == 64
