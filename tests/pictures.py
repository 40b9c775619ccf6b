"""Small photographs of random pixels, as files and as bytes."""

import io
import os

import numpy as np
from PIL import Image


def picture(seed, width=40, height=30):
    """Return a smooth RGB image that differs from those of other seeds."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def encoded(seed, kind="JPEG", **options):
    """Return the bytes of an image file."""
    data = io.BytesIO()
    picture(seed, **options).save(data, kind)
    return data.getvalue()


def write_folder(root, *, classes=("cat", "dog"), per_class=12):
    """Write `root/<class>/<n>.jpg`, each of another width."""
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            seed = label * 1000 + number
            data = encoded(seed, width=40 + number % 5)
            (root / name / f"{number:03d}.jpg").write_bytes(data)
    return root


def spoil(root, suffix=".jpg"):
    """Make every image file unreadable, with its size and time of change as they were."""
    for path in root.rglob(f"*{suffix}"):
        state = path.stat()
        path.write_bytes(bytes(state.st_size))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
