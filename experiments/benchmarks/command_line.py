"""The command line of a benchmark."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from ..help_text import program
from ..option_names import check_names


class CommandLine(argparse.ArgumentParser):
    """Reads the options of a benchmark; a misspelt one suggests the right one."""

    def __init__(self, description: str | None) -> None:
        """Make it without options.

        Args:
            description: the text at the head of the help, shown as it was written.
        """
        self._names: set[str] = set()
        super().__init__(
            prog=program(),
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        """Add an option; see `argparse.ArgumentParser.add_argument`."""
        self._names.update(names)
        return super().add_argument(*names, **options)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Read the options that there are; see `argparse.ArgumentParser.parse_known_args`.

        Raises:
            ValueError: for an option that there is not.
            SystemExit: with code 0 after `--help`, with code 2 for arguments that cannot be read.
        """
        check_names(sys.argv[1:] if args is None else args, self._names)
        return super().parse_known_args(args, namespace)
