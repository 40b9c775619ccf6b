"""Fashion-MNIST's files, with few images."""

import gzip
import struct

import numpy as np


def idx_bytes(array):
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_pair(folder, prefix, images, labels):
    (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
    (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(labels)))


def some_images(n=6, side=4, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, 256, (n, side, side), dtype=np.uint8),
        rng.integers(0, 10, n, dtype=np.uint8),
    )
