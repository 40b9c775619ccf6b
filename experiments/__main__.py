"""List the commands, or the networks that they know.

    python -m experiments
    python -m experiments --variants

Every command explains its options with --help.
"""

from __future__ import annotations

import ast
import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from . import cli
from .asked_module import command_files

GROUPS = ("Recipes", "Tools", "Benchmarks")
_WIDEST = 100


@dataclass(frozen=True)
class Options:
    """What to list."""

    variants: bool = False
    """List the names that --variant may have, with millions of parameters, instead of commands."""


class Command(NamedTuple):
    """A module that can be run.

    Attributes:
        name: the module, as after `python -m`.
        group: one of `GROUPS`.
        purpose: the first line of its docstring.
    """

    name: str
    group: str
    purpose: str


def find_commands() -> list[Command]:
    """Return the commands by their groups, each in alphabetical order; none is imported."""
    commands = [_read(name, path) for name, path in command_files().items()]
    return sorted(commands, key=lambda command: (GROUPS.index(command.group), command.name))


def _read(name: str, path: Path) -> Command:
    """Return the command of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assigned = {
        name.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }
    if path.parent != Path(__file__).parent:
        group = "Benchmarks"
    else:
        # Recipes get their function from their defaults, tools define it.
        group = "Recipes" if "main" in assigned else "Tools"
    return Command(name, group, (ast.get_docstring(tree) or "").partition("\n")[0])


def _print_commands() -> None:
    """Print each command with its purpose, under the heading of its group."""
    commands = find_commands()
    names = {command: command.name.rpartition(".") for command in commands}
    column = max(len(name) for _, _, name in names.values()) + 4
    for group in GROUPS:
        (package,) = {names[command][0] for command in commands if command.group == group}
        print(f"{group}: python -m {package}.NAME\n")
        for command in commands:
            if command.group == group:
                head = f"  {names[command][2]:{column - 2}}"
                print(_fill([command.purpose.rstrip(".")], head, " " * column))
        print()
    print("Every command explains its options with --help.")


def _print_variants() -> None:
    """Print the names of the networks by their families."""
    from resnet_jax.models import VARIANTS

    print("Values of --variant by their families (millions of parameters)\n")
    families: dict[str, list[str]] = {}
    for name, variant in VARIANTS.items():
        found = re.match("[a-z_]*?(?:resnet|resnext|senet)", name)
        family = found[0] if found else name
        purpose = "ImageNet" if variant.num_classes == 1000 else "CIFAR"
        families.setdefault(f"{family} for {purpose}", []).append(
            f"{name} ({variant.parameters / 1e6:.1f})"
        )
    for family, names in families.items():
        print(f"{family}:")
        print(_fill((f"{name}," for name in names), "  ", "  ").rstrip(","))


def _fill(words: Iterable[str], head: str, indent: str) -> str:
    """Return a paragraph in the width of the terminal."""
    return textwrap.fill(
        " ".join(words),
        min(shutil.get_terminal_size().columns, _WIDEST),
        initial_indent=head,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, see `exit_code`."""

    def work() -> int:
        options = cli.parse(Options, argv, description=__doc__)
        (_print_variants if options.variants else _print_commands)()
        return 0

    return cli.exit_code(work)


if __name__ == "__main__":
    raise SystemExit(main())
