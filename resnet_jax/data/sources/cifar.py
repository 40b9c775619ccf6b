"""CIFAR-10 and CIFAR-100: their files, and the forms in which people have them.

References:
    A. Krizhevsky: Learning multiple layers of features from tiny images, 2009.
"""

from __future__ import annotations

from ..remote_file import RemoteFile
from .batches import Batches, binary_records, pickled_batch
from .class_images import ClassImages
from .forms import Forms
from .hub_parquet import HubParquet
from .published import Published
from .tfds import Tfds

_AUTHORS = "https://www.cs.toronto.edu/~kriz/"
_MIRROR = "https://dataset.bj.bcebos.com/cifar/"  # of PaddlePaddle, which checks the same digests

_TEN = "airplane automobile bird cat deer dog frog horse ship truck"
_HUNDRED = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle
bowl boy bridge bus butterfly camel can castle caterpillar cattle
chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur
dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain
mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree
plain plate poppy porcupine possum rabbit raccoon ray road rocket
rose sea seal shark shrew skunk skyscraper snail snake spider
squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR10_NAMES = tuple(_TEN.split())
CIFAR100_NAMES = tuple(_HUNDRED.split())


def _file(name: str, md5: str, size: int | None = None, *, mirrored: bool = False) -> RemoteFile:
    folders = (_AUTHORS, _MIRROR) if mirrored else (_AUTHORS,)
    urls = tuple(folder + name for folder in folders)
    return RemoteFile(name=name, digest=f"md5:{md5}", urls=urls, size=size)


# Names and checksums are published at https://www.cs.toronto.edu/~kriz/cifar.html.
CIFAR10_ARCHIVES = (
    _file("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", 170498071, mirrored=True),
    _file("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
)
CIFAR100_ARCHIVES = (
    _file("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", mirrored=True),
    _file("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
)

_NUMBERS = range(1, 6)

CIFAR10_TFDS = Tfds("cifar10")
CIFAR100_TFDS = Tfds("cifar100")

# The digests of the pickled batches are those of torchvision/datasets/cifar.py; of the binary ones
# none are published, but of their archives.
CIFAR10_LAYOUTS = (
    Batches(
        train=tuple(f"data_batch_{number}" for number in _NUMBERS),
        test="test_batch",
        decode=pickled_batch("labels"),
        digests=(
            "md5:c99cafc152244af753f735de768cd75f",
            "md5:d4bba439e000b95fd0a9bffe97cbabec",
            "md5:54ebc095f3ab1f0389bbae665268c751",
            "md5:634d18415352ddfa80567beed471001a",
            "md5:482c414d41f54cd18b22e5b47cb7c3cb",
            "md5:40351d587109b95175f43aff81a1287e",
        ),
    ),
    Batches(
        train=tuple(f"data_batch_{number}.bin" for number in _NUMBERS),
        test="test_batch.bin",
        decode=binary_records(1),
    ),
    HubParquet(image="img", label="label", side=32),
    CIFAR10_TFDS,
    ClassImages(classes=CIFAR10_NAMES, side=32, fixed=True),
)
CIFAR100_LAYOUTS = (
    Batches(
        train=("train",),
        test="test",
        decode=pickled_batch("fine_labels"),
        digests=("md5:16019d7e3df5f24257cddd939b257f8d", "md5:f0ef6b0ae62326f3e7ffdfab6717acfc"),
    ),
    Batches(train=("train.bin",), test="test.bin", decode=binary_records(2)),
    HubParquet(image="img", label="fine_label", side=32),
    CIFAR100_TFDS,
    ClassImages(classes=CIFAR100_NAMES, side=32, fixed=True),
)

load_cifar10 = Published(
    sizes=(50_000, 10_000),
    forms=Forms(layouts=CIFAR10_LAYOUTS, archives=CIFAR10_ARCHIVES, others=CIFAR100_ARCHIVES),
    downloads=CIFAR10_ARCHIVES[:1],
    copy=CIFAR10_TFDS,
)
load_cifar100 = Published(
    sizes=(50_000, 10_000),
    forms=Forms(layouts=CIFAR100_LAYOUTS, archives=CIFAR100_ARCHIVES, others=CIFAR10_ARCHIVES),
    downloads=CIFAR100_ARCHIVES[:1],
    copy=CIFAR100_TFDS,
)
