"""What is known of each data set before it is read: class names, size and pixel statistics."""

from __future__ import annotations

from typing import NamedTuple


class Facts(NamedTuple):
    """What is known of a data set.

    Attributes:
        class_names: in label order.
        side: height and width of the images, in pixels.
        mean: of each channel, as a fraction of 1.
        std: its deviation, likewise.
    """

    class_names: tuple[str, ...]
    side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


_CIFAR100_NAMES = """
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

FACTS: dict[str, Facts] = {
    "cifar10": Facts(
        class_names=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        side=32,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2023, 0.1994, 0.2010),
    ),
    "cifar100": Facts(
        class_names=tuple(_CIFAR100_NAMES.split()),
        side=32,
        mean=(0.5071, 0.4865, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
    ),
    "fashion_mnist": Facts(
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        side=28,
        mean=(0.2860,),
        std=(0.3530,),
    ),
    # Measured on the 1,437 training images.
    "digits": Facts(
        class_names=tuple("0123456789"),
        side=8,
        mean=(0.3054,),
        std=(0.3757,),
    ),
}
"""Facts by data-set name; its keys are the names that `load_dataset` knows."""
