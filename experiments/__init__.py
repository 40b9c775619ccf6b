"""The recipes: `python -m experiments.<name>`."""

import signal
import sys

# Python names a module that is being located by "-m".
if sys.argv[:1] == ["-m"]:
    # The imports of a command take seconds. Until it runs, SIGINT ends it without a traceback.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from .asked_module import check_asked_module
    from .huge_pages import start_again

    check_asked_module()
    start_again()
