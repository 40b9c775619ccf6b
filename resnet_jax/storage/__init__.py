"""Storage: files, and what every room says and checks of arguments.

Atomic writes, a lock, digests, strict JSON, homes, error lines, whole numbers. Importing it does
not import JAX.

Attributes:
    DISTRIBUTION: name under which pip knows this package.
    PACKAGES: distribution names of the packages whose versions `package_versions` returns.
"""

from .atomic import atomic_path, to_disk
from .home import expand_user, user_cache_dir
from .lock import FolderInUseError, folder_lock, is_locked
from .manifest import find_damage, write_manifest
from .messages import first_line, one_line
from .plain_path import plain_path
from .printable import printable, printable_name
from .strict_json import JsonError, dumps, read_json, to_plain, write_json
from .versions import DISTRIBUTION, PACKAGES, install_command, package_versions
from .whole_number import whole_number

__all__ = [
    "DISTRIBUTION",
    "PACKAGES",
    "FolderInUseError",
    "JsonError",
    "atomic_path",
    "dumps",
    "expand_user",
    "find_damage",
    "first_line",
    "folder_lock",
    "install_command",
    "is_locked",
    "one_line",
    "package_versions",
    "plain_path",
    "printable",
    "printable_name",
    "read_json",
    "to_disk",
    "to_plain",
    "user_cache_dir",
    "whole_number",
    "write_json",
    "write_manifest",
]
