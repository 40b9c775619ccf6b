"""Images in files, folders and archives, read one by one when they are needed."""

from .base import Divided, Records
from .open import PACKED_SOURCES, RecordSet, holds_files_of_images, open_records

__all__ = [
    "PACKED_SOURCES",
    "Divided",
    "RecordSet",
    "Records",
    "holds_files_of_images",
    "open_records",
]
