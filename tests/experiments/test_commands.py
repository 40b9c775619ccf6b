"""Every command explains itself, and uses public names of the rooms alone."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "experiments"
FILES = sorted(FOLDER.glob("*.py"))
COMMANDS = [path.stem for path in FILES if "\ndef main(" in path.read_text(encoding="utf-8")]
COMMANDS += [path.stem for path in FOLDER.glob("cifar_*.py")]


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name, capsys):
    module = importlib.import_module(f"experiments.{name}")
    with pytest.raises(SystemExit) as stop:
        module.main(["--help"])
    assert stop.value.code == 0
    assert module.__doc__.splitlines()[0] in capsys.readouterr().out


def test_help_as_a_program():
    command = [sys.executable, "-m", "experiments.cifar_resnet34", "--help"]
    result = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=True)
    assert "--base-planes INT" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_names_of_rooms_are_public(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("resnet_jax"):
            assert node.module.count(".") <= 1, f"{node.module} is inside a room"
            room = importlib.import_module(node.module)
            private = {alias.name for alias in node.names} - set(room.__all__)
            assert not private, f"{node.module} does not export {private}"
