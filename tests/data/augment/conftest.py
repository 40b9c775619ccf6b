"""Real images to augment: digits in grey, and patches of photographs in colour."""

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images


@pytest.fixture(scope="session")
def grey():
    images = load_digits(return_X_y=True)[0][:64].reshape(-1, 8, 8, 1)
    return np.round(images * (255 / 16)).astype(np.uint8).repeat(2, 1).repeat(2, 2)


@pytest.fixture(scope="session")
def photos():
    """64 patches of 16x16 pixels."""
    photo = load_sample_images().images[0]
    places = np.random.default_rng(0).integers(0, np.array(photo.shape[:2]) - 16, (64, 2))
    return np.stack([photo[row : row + 16, column : column + 16] for row, column in places])


@pytest.fixture(scope="session")
def keys():
    return jax.random.split(jax.random.key(3), 64)
