"""The ResNet family for JAX: torch-exact Flax models, training and evaluation.

Attributes:
    __version__: the installed version, as text.
    VARIANTS: table of the named variants, a read-only mapping from name to `Variant`.
"""

import lazy_loader

# The stub `__init__.pyi` lists the names; each is imported when it is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
