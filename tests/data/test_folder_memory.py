"""Reading a folder of images, and keeping them, takes little more memory than the arrays."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

MEASURE = """
import sys, tracemalloc
from pathlib import Path
from resnet_jax.data import load_image_folder
root, side, kept = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
tracemalloc.start()
data = load_image_folder(root, side=side, keep_in=kept)
assert data.note.startswith("kept "), data.note
peak = tracemalloc.get_traced_memory()[1]
print(peak / sum(x.images.nbytes for x in (data.dataset.train, data.valid, data.dataset.test)))
"""


@pytest.mark.parametrize(("side", "count"), [(128, 2000), (256, 512)])
def test_peak_memory(tmp_path, side, count):
    """The peak of all that NumPy and Python allocate; Pillow holds an image a thread besides."""
    root = tmp_path / "images"
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    first = root / "cat" / "0.png"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(count // 2):
            path = root / name / f"{number}.png"
            if path == first:
                Image.fromarray(pixels).save(path)
            else:
                path.hardlink_to(first)
    command = [sys.executable, "-c", MEASURE, str(root), str(side), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 1 <= float(done.stdout) <= 1.15
