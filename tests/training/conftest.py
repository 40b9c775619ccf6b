"""A tiny task on real images."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

import resnet_jax as rj
from resnet_jax.data import Arrays, Transform
from resnet_jax.run import Task
from resnet_jax.training import make_optimizer


def digits(count):
    images, labels = load_digits(return_X_y=True)
    pixels = np.round(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    return Arrays(pixels[:count], labels[:count].astype(np.int32))


@pytest.fixture(scope="session")
def images():
    return digits(200)


@pytest.fixture(scope="session")
def task(images):
    transform = Transform(source=(8, 8), resize=10, crop=8, mean=(0.3,), std=(0.4,))

    def random_crop(batch, labels, keys):
        return transform.random(batch, keys), labels

    def center_crop(batch, labels, keys):
        return transform.center(batch), labels

    return Task(
        model=rj.ResNet(rj.BasicBlock, (1, 1, 1, 1), num_classes=10, base_planes=8, stem="cifar"),
        tx=make_optimizer(0.05),
        controller=rj.ReduceLROnPlateau(patience=0),
        train=Arrays(images.images[:150], images.labels[:150]),
        valid=Arrays(images.images[150:], images.labels[150:]),
        prepare=random_crop,
        prepare_valid=center_crop,
    )
