"""The code of the README and of the documentation runs, and its commands can be read."""

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest
import tyro

from experiments.__main__ import find_commands

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "notebooks").rglob("*.md"))]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}


def blocks(text, language):
    """The contents of a page's fenced blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def spans(text):
    """The contents of a page's code in the middle of text."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def commands(text):
    """The arguments of every `python -m experiments...` of a page, the module first."""
    lines = [
        line for block in blocks(text, "sh") for line in block.replace("\\\n", " ").splitlines()
    ]
    for line in [*lines, *spans(text)]:
        for call in re.findall(r"python -m (experiments\b(?:\"[^\"]*\"|[^\"|&#;)])*)", line):
            if not call.endswith("."):  # where the name follows
                yield shlex.split(call.replace('"$@"', ""))


CODE = [
    pytest.param(code, id=f"{name}-{number}")
    for name, text in TEXTS.items()
    for number, code in enumerate(blocks(text, "python"))
]
COMMANDS = sorted({shlex.join(call) for text in TEXTS.values() for call in commands(text)})


@pytest.mark.parametrize("code", CODE)
def test_code_runs(code):
    exec(compile(code, "page", "exec"), {})


class Parsed(BaseException):
    """The arguments of a command could be read."""


@pytest.fixture
def stop_after_parsing(monkeypatch):
    """Let commands read their arguments, and do nothing with them."""
    cli, parse_args = tyro.cli, argparse.ArgumentParser.parse_args

    def read(*args, return_unknown_args=False, **options):
        result = cli(*args, return_unknown_args=return_unknown_args, **options)
        if return_unknown_args:
            return result
        raise Parsed

    def read_by_argparse(*args, **options):
        parse_args(*args, **options)
        raise Parsed

    monkeypatch.setattr(tyro, "cli", read)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", read_by_argparse)


def is_read(command):
    """Whether a command takes its arguments; `--help` and the like are done then."""
    module, *arguments = shlex.split(command)
    module = f"{module}.__main__" if module == "experiments" else module
    try:
        importlib.import_module(module).main(arguments)
    except Parsed:
        return True
    except SystemExit as stop:
        return stop.code in (None, 0)
    return False


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_read(command, stop_after_parsing):
    assert is_read(command)


@pytest.mark.parametrize(
    "command",
    [
        "experiments.cifar_resnet34 --no-such-option",
        "experiments.cifar_resnet34 --epochs many",
        "experiments.finetune --data-dir photos",
        "experiments.benchmarks.train_step --repetitions 3",
    ],
)
def test_wrong_commands_are_found(command, stop_after_parsing):
    assert not is_read(command)


OTHERS = {
    "--strict",  # of mkdocs
}


def test_every_option_in_the_text_is_one_of_a_command(capsys):
    known = set(OTHERS)
    for command in find_commands():
        with pytest.raises(SystemExit):
            importlib.import_module(command.name).main(["--help"])
        known |= set(re.findall(r"--[a-z][\w-]*", capsys.readouterr().out))
    for name, text in TEXTS.items():
        used = {
            option
            for span in spans(text)
            if not re.match(r"pip|python -m (pip|mkdocs|pytest)", span)
            for option in re.findall(r"(?:^|(?<=\s))--[a-z][\w-]*", span)
        }
        assert used <= known, (name, used - known)


def test_every_command_is_in_the_documentation():
    words = set(re.findall(r"\w+", "\n".join(TEXTS.values())))
    for command in find_commands():
        assert command.name.rpartition(".")[2] in words, command.name


def test_ci_runs_the_test_command():
    command = "pip install -q -e '.[test]' && python -m pytest -n 2"
    assert command in TEXTS["README.md"].splitlines()
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_what_a_page_says_is_found():
    page = (
        "```sh\npython -m experiments.a --x 1 \\\n  --y  # no --z\nls | python -m experiments.b -\n"
        "ssh --command=\"python -m experiments.c --data-name 'my photos'\"\n```\n"
        "`python -m\nexperiments.d --w` and `--v`, "
        "`python -m experiments.`\n```python\nx = 1\n```\n"
    )
    assert list(commands(page)) == [
        ["experiments.a", "--x", "1", "--y"],
        ["experiments.b", "-"],
        ["experiments.c", "--data-name", "my photos"],
        ["experiments.d", "--w"],
    ]
    assert blocks(page, "python") == ["x = 1\n"]
    assert spans(page) == ["python -m experiments.d --w", "--v", "python -m experiments."]
