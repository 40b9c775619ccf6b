"""Evaluation of a trained model: predictions, metrics, explanations, figures, page and export.

Attributes:
    OUTPUTS: kinds of output that a program from `to_stablehlo` can have.
    PLATFORMS: platforms that a program from `to_stablehlo` runs on, as JAX names them.
"""

import lazy_loader

# The stub `__init__.pyi` lists the names; each is imported when it is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
