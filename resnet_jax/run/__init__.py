"""Running: everything with an effect. The loop, the run folder, checkpoints, logs and processes.

Attributes:
    CheckpointChoice: which checkpoint of a run to use, `"best"` or `"last"`.
    SINKS: where else a run's numbers can go, by name; `make_sink` makes one.
    TRACKERS: the services that `Tracker` can log to, by name.
"""

import lazy_loader

# The stub `__init__.pyi` lists the names; each is imported when it is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
