"""The recipes: `python -m experiments.<name>`."""

import signal
import sys

from .asked_module import check_asked_module
from .huge_pages import start_again

# The imports of a command take seconds. Until it runs, SIGINT ends the process without a traceback;
# Python names a module that is being located by "-m".
if sys.argv[:1] == ["-m"]:
    check_asked_module()
    start_again()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
