"""Running: everything with an effect. The loop, the run folder, checkpoints, logs and processes."""

import lazy_loader

# The stub `__init__.pyi` lists the names; each is imported when it is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
