"""Every command explains itself, and uses public names of the rooms alone."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from experiments.__main__ import find_commands
from experiments.__main__ import main as list_commands
from experiments.asked_module import complain
from resnet_jax.models import VARIANTS

FOLDER = Path(__file__).parents[2] / "experiments"
FILES = sorted(FOLDER.glob("*.py"))
FOUND = find_commands()
COMMANDS = [command.name for command in FOUND if command.group != "Benchmarks"]


def run_help(name, capsys, monkeypatch, columns=100):
    monkeypatch.setenv("COLUMNS", str(columns))
    module = importlib.import_module(name)
    with pytest.raises(SystemExit) as stop:
        module.main(["--help"])
    assert stop.value.code == 0
    # Lines are of whatever the terminal encodes.
    return module, re.sub("[│╭╰─╮╯]", " ", capsys.readouterr().out)


@pytest.mark.parametrize("name", [*COMMANDS, "experiments.__main__"])
def test_help(name, capsys, monkeypatch):
    """It begins with the whole docstring, as it was written."""
    module, text = run_help(name, capsys, monkeypatch)
    assert text.startswith(module.__doc__)


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_the_help_fits_the_terminal(capsys, monkeypatch, columns):
    """Without a line that ends early, or one that is too long."""
    _, text = run_help("experiments.cifar_resnet34", capsys, monkeypatch, columns)
    head, _, boxes = text.partition("usage: ")
    assert max(len(line) for line in head.splitlines() if line[:1] != " ") <= columns
    assert "\n\n\n" not in head
    # An option's text is a paragraph: each line but its last is full.
    texts = re.findall(r"(?:^ {8}(?! ).*\n)+", boxes, re.MULTILINE)
    assert len(texts) > 40
    for text in texts:
        filled = textwrap.wrap(" ".join(text.split()), columns - 10, break_on_hyphens=False)
        assert len(text.splitlines()) <= len(filled) + 1, text


def test_options_are_grouped(capsys, monkeypatch):
    _, text = run_help("experiments.cifar_resnet34", capsys, monkeypatch)
    groups = re.findall(r"^ +(\w+) options +$", text, re.MULTILINE)
    assert {"model", "images", "training", "optimizer", "devices", "run", "data"} <= set(groups)


def test_many_names_are_not_listed_in_the_help(capsys, monkeypatch):
    _, text = run_help("experiments.cifar_resnet34", capsys, monkeypatch)
    assert "--variant NAME" in text
    assert "python -m experiments --variants" in text
    assert "resnetrs420" not in text


def test_the_nearest_names_are_suggested(capsys):
    main = importlib.import_module("experiments.cifar_resnet34").main
    assert main(["--variant", "resnet43"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(
        rf"error: `variant` \(='resnet43'\) must be one of {len(VARIANTS)} names, such as "
        "[^;]*resnet34[^;]*; `python -m experiments --variants` lists them\n",
        error,
    )


@pytest.mark.parametrize("name", [command.name for command in FOUND])
def test_a_misspelt_option_suggests_the_right_one(name, capsys, monkeypatch):
    module, text = run_help(name, capsys, monkeypatch)
    option = max(re.findall(r"^ +(--[a-z][a-z-]{3,})", text, re.MULTILINE), key=len)
    misspelt = option[:-2] + option[-1] + option[-2]
    required = re.findall(
        r"^ +(--[a-z][a-z-]+) (?:(?!^ +--)[\s\S])*?\(required\)", text, re.MULTILINE
    )
    positional = ["x"] if " positional arguments " in text else []
    line = [part for option in required for part in (option, "x")]
    assert module.main([*positional, *line, misspelt, "1"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: there is no option {misspelt}; did you mean {option}")
    assert error.count("\n") == 1


def completions(script, *words):
    """What bash offers in the place of the last of the words."""
    (function,) = re.findall(r"^complete -F (\w+) ", script, re.MULTILINE)
    words = " ".join(f"'{word}'" for word in words)
    asked = f"COMP_WORDS=({words})\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n{function}\n"
    program = f'{script}\n{asked}printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash"], input=program, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_completes_options_and_their_values():
    name = "cifar_resnet34"
    command = [sys.executable, "-m", f"experiments.{name}", "--tyro-print-completion", "bash"]
    done = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=True)
    script = done.stdout
    assert f"\ncomplete -F _tyro_{name} {name}\n" in script
    assert set(completions(script, name, "--warm")) == {"--warmup-epochs"}
    assert "resnext50_32x4d" in completions(script, name, "--variant", "resnext50")


def test_the_list_of_commands(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert list_commands([]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for command in FOUND:
        assert f"{command.name.rpartition('.')[2]} {command.purpose.rstrip('.')}" in text
    groups = [command.group for command in FOUND]
    assert groups == sorted(groups, key=["Recipes", "Tools", "Benchmarks"].index)
    recipes = {command.name for command in FOUND if command.group == "Recipes"}
    assert recipes == {
        f"experiments.{path.stem}"
        for path in FILES
        if path.stem.startswith(("cifar_", "imagenet_"))
    }


def test_the_list_names_every_module_that_runs():
    runs = {
        path.stem
        for path in FOLDER.rglob("*.py")
        if "\nif __name__ ==" in path.read_text("utf-8") and path.stem != "__main__"
    }
    assert {command.name.rpartition(".")[2] for command in FOUND} == runs
    assert all(command.purpose for command in FOUND)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("fintune", "did you mean experiments.finetune?"),
        ("evaluate", "did you mean experiments.validate?"),
        ("cifar_resnet34.py", "did you mean experiments.cifar_resnet34?"),
        ("ops", "did you mean experiments.benchmarks.ops?"),
        ("train", "`python -m experiments` lists them"),
        ("benchmarks", "`python -m experiments` lists them"),
        ("benchmarks.train.step", "`python -m experiments` lists them"),
    ],
)
def test_a_module_that_is_no_command(name, advice):
    """Python runs some of them without a word."""
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{name}", "--epochs", "1"],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"error: there is no command experiments.{name}; {advice}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        *(["-m", command.name] for command in FOUND),
        ["-m", "experiments"],
        ["-m", "experiments.__main__"],
        ["-X", "dev", "-W", "ignore", "-um", "experiments.predict", "-m", "experiments.x"],
        ["-m", "experimentsx.y"],
        ["-m", "pytest", "experiments.x"],
        ["-c", "import experiments.train"],
    ],
)
def test_other_programs_are_left_alone(arguments):
    assert complain(["python", *arguments]) is None


@pytest.mark.parametrize("flags", [["-m"], ["-um"], ["-X", "dev", "-Bsm"]])
def test_flags_of_the_interpreter(flags):
    assert "no command experiments.x;" in complain(["python", *flags, "experiments.x"])
    assert "no command experiments.x;" in complain(
        ["python", f"{''.join(flags[-1:])}experiments.x"]
    )


def test_the_list_of_variants(capsys):
    assert list_commands(["--variants"]) == 0
    text = capsys.readouterr().out
    listed = re.findall(r"([\w]+)\s+\((\d+\.\d)\)", text)
    assert dict(listed) == {
        name: f"{variant.parameters / 1e6:.1f}" for name, variant in VARIANTS.items()
    }


def test_help_as_a_program():
    command = [sys.executable, "-m", "experiments.cifar_resnet34", "--help"]
    result = subprocess.run(command, cwd=FOLDER.parent, capture_output=True, text=True, check=True)
    assert "\nusage: python -m experiments.cifar_resnet34 [-h] [OPTIONS]\n" in result.stdout
    assert "--base-planes INT" in result.stdout
    assert result.stdout.endswith(
        "    source <(python -m experiments.cifar_resnet34 --tyro-print-completion bash)\n"
    )
    assert result.stderr == ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_names_of_rooms_are_public(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("resnet_jax"):
            assert node.module.count(".") <= 1, f"{node.module} is inside a room"
            room = importlib.import_module(node.module)
            private = {alias.name for alias in node.names} - set(room.__all__)
            assert not private, f"{node.module} does not export {private}"
