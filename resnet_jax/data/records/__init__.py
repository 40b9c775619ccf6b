"""Images in files, folders and archives, read one by one when they are needed."""

from .base import Divided, Records
from .open import PACKED_SOURCES, RecordSet, open_records

__all__ = ["PACKED_SOURCES", "Divided", "RecordSet", "Records", "open_records"]
