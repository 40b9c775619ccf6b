"""Compiled programs on the disk, so that the next start is faster."""

from __future__ import annotations

import os
from pathlib import Path

import jax


def keep_compiled() -> None:
    """Keep compiled programs in the user's cache directory, unless a place is set already."""
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(root) / "resnet_jax" / "xla"))
