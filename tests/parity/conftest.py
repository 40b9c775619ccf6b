"""Make the helper modules beside the tests, the torch twin and the differences, importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
