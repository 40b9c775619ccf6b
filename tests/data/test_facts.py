"""Class names and statistics of all data sets."""

import pytest

from resnet_jax.data import DATASETS, load_dataset
from resnet_jax.data.facts import FACTS


def test_names():
    assert DATASETS == ("cifar10", "cifar100", "fashion_mnist", "digits")


@pytest.mark.parametrize(
    ("name", "classes", "channels"),
    [("cifar10", 10, 3), ("cifar100", 100, 3), ("fashion_mnist", 10, 1), ("digits", 10, 1)],
)
def test_counts(name, classes, channels):
    facts = FACTS[name]
    assert len(set(facts.class_names)) == len(facts.class_names) == classes
    assert len(facts.mean) == len(facts.std) == channels
    assert all(0 < value < 1 for value in (*facts.mean, *facts.std))


def test_cifar_names_are_in_label_order():
    names = FACTS["cifar10"].class_names
    assert (names[0], names[3], names[9]) == ("airplane", "cat", "truck")
    fine = FACTS["cifar100"].class_names
    assert list(fine) == sorted(fine)  # the archive's own order
    assert (fine[0], fine[53], fine[99]) == ("apple", "orange", "worm")


def test_digits_statistics_are_the_training_images():
    dataset = load_dataset("digits")
    pixels = dataset.train.images / 255
    assert dataset.mean == pytest.approx((pixels.mean(),), abs=5e-5)
    assert dataset.std == pytest.approx((pixels.std(),), abs=5e-5)
