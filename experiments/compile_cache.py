"""Compiled programs on the disk, so that the next start is faster."""

from __future__ import annotations

import jax

from resnet_jax.storage import user_cache_dir


def keep_compiled() -> None:
    """Keep compiled programs in the user's cache directory, unless a place is set already.

    Raises:
        ValueError: if the user has no known folder for caches.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        try:
            folder = user_cache_dir() / "resnet_jax" / "xla"
        except ValueError as error:
            raise ValueError(f"{error}, or leave the cache out by --no-compile-cache") from error
        jax.config.update("jax_compilation_cache_dir", str(folder))
