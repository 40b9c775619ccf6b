"""Comparison with timm and torchvision, in an environment that has them: `.ci/run timm`."""

import sys
from pathlib import Path

# `import timm` must find the package, not this folder's parent.
import timm
import torch

assert Path(timm.__file__).name == "__init__.py", sys.path
torch.set_num_threads(2)
