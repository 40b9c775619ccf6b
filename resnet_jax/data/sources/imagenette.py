"""Imagenette: ten classes of ImageNet that are easy to tell apart, 9,469 and 3,925 images.

References:
    https://github.com/fastai/imagenette
"""

from __future__ import annotations

from collections.abc import Mapping

from ..remote_file import RemoteFile
from .class_images import ClassImages
from .forms import Forms
from .published import Published

IMAGENETTE_SIDE = 160
"""Height and width of the images, in pixels: the shortest edge in the smallest of the archives."""

IMAGENETTE_CLASSES: Mapping[str, str] = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
"""Names of the classes by their folders, in label order."""


def _file(name: str, size: int, sha256: str) -> RemoteFile:
    url = f"https://s3.amazonaws.com/fast-ai-imageclas/{name}"
    return RemoteFile(name=name, digest=f"sha256:{sha256}", urls=(url,), size=size)


# Sizes and checksums are those of tensorflow_datasets/datasets/imagenette/checksums.tsv.
IMAGENETTE_ARCHIVES = (
    _file(
        "imagenette2-160.tgz",
        99_003_388,
        "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
    ),
    _file(
        "imagenette2-320.tgz",
        341_663_724,
        "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
    ),
    _file(
        "imagenette2.tgz",
        1_557_161_267,
        "6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd",
    ),
)

load_imagenette = Published(
    sizes=(9_469, 3_925),
    forms=Forms(
        layouts=(
            ClassImages(
                classes=tuple(IMAGENETTE_CLASSES), side=IMAGENETTE_SIDE, fixed=False, test="valid"
            ),
        ),
        archives=IMAGENETTE_ARCHIVES,
    ),
    downloads=IMAGENETTE_ARCHIVES[:1],
)
