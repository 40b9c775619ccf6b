"""Import Matplotlib whatever backend the environment names, for figures here need none."""

from __future__ import annotations

import contextlib
import os
import sys

if "matplotlib" not in sys.modules:
    # Matplotlib refuses to be imported where MPLBACKEND, which notebooks and job scripts pass on,
    # names a backend that it does not know.
    _backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if _backend is not None:
            os.environ["MPLBACKEND"] = _backend
    if _backend:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = _backend  # as importing Matplotlib does
