"""Data: sources to uint8 arrays, the split, batches, and transforms on the device.

Attributes:
    DATASETS: the names that `load_dataset` knows.
"""

from .base import Arrays, Dataset, DatasetError
from .batches import epoch_permutation, eval_batches, num_batches
from .datasets import DATASETS, default_data_dir, load_dataset
from .image_files import ImageFileError, read_images
from .sources.folder import ImageFolder, load_image_folder
from .split import split_indices
from .transforms import Transform

__all__ = [
    "DATASETS",
    "Arrays",
    "Dataset",
    "DatasetError",
    "ImageFileError",
    "ImageFolder",
    "Transform",
    "default_data_dir",
    "epoch_permutation",
    "eval_batches",
    "load_dataset",
    "load_image_folder",
    "num_batches",
    "read_images",
    "split_indices",
]
