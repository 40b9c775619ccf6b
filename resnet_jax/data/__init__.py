"""Data: sources to uint8 arrays, the split, batches, and transforms on the device.

Attributes:
    AUGMENTATIONS: every augmentation by its short name.
    DATASETS: what is known of every data set, by name; `load_dataset` loads one.
    IMAGENET_MEAN: mean of ImageNet's training images by channel, as a fraction of the full scale.
    IMAGENET_STD: their standard deviation by channel, likewise.
    MAX_PIXELS: most pixels that `read_images` accepts in a file, unless it is told otherwise.
    PartChoice: the part of a folder that `find_labelled_images` takes.
"""

from .augment import AUGMENTATIONS, Augmentation, Pipeline, make_augmentation
from .base import Arrays, Dataset, DatasetError, Parts, array_digest
from .batches import epoch_permutation, eval_batches, num_batches
from .data_folder import default_data_dir
from .datasets import DATASETS, DatasetSpec, load_dataset
from .image_files import MAX_PIXELS, ImageFileError, check_images, read_images
from .image_search import FoundImages, find_images
from .image_stream import CenterImages, ImageStream
from .image_transform import IMAGENET_MEAN, IMAGENET_STD, ImageTransform
from .random_resized_crop import RandomResizedCrop
from .read_ahead import read_ahead
from .records import Records, RecordSet, holds_files_of_images, open_records
from .sources.folder import ImageFolder, load_image_folder
from .sources.folder_facts import FolderFacts
from .sources.labelled_folder import LabelledImages, PartChoice, find_labelled_images
from .split import split_indices
from .transforms import Transform

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "MAX_PIXELS",
    "Arrays",
    "Augmentation",
    "CenterImages",
    "Dataset",
    "DatasetError",
    "DatasetSpec",
    "FolderFacts",
    "FoundImages",
    "ImageFileError",
    "ImageFolder",
    "ImageStream",
    "ImageTransform",
    "LabelledImages",
    "PartChoice",
    "Parts",
    "Pipeline",
    "RandomResizedCrop",
    "RecordSet",
    "Records",
    "Transform",
    "array_digest",
    "check_images",
    "default_data_dir",
    "epoch_permutation",
    "eval_batches",
    "find_images",
    "find_labelled_images",
    "holds_files_of_images",
    "load_dataset",
    "load_image_folder",
    "make_augmentation",
    "num_batches",
    "open_records",
    "read_ahead",
    "read_images",
    "split_indices",
]
