"""The README's code runs, and its test command is the one that CI runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_code_runs(code):
    exec(compile(code, "README.md", "exec"), {})


def test_ci_runs_the_test_command():
    command = "pip install -q -e '.[test]' && python -m pytest -n 2"
    assert command in README.splitlines()
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
