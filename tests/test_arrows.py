"""Who may import whom, read off the imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "resnet_jax"
ROOMS = ("models", "ops", "data", "training", "evaluation")
ALLOWED = {
    "ops": set(),
    "models": {"ops"},
    "data": set(),
    "training": {"data", "models", "ops"},
    "evaluation": {"data", "models", "ops"},
}
FOREIGN = {
    "models": {"optax", "orbax", "tensorflow_datasets", "matplotlib", "tyro", "rich", "sklearn"},
    "ops": {"optax", "orbax", "tensorflow_datasets", "matplotlib", "flax", "tyro", "rich"},
    "training": {"matplotlib", "tyro", "sklearn"},
    "data": {"optax", "orbax", "flax", "matplotlib", "tyro"},
    "evaluation": {"optax", "orbax", "tyro"},
}


def imports(path):
    """Absolute names of the modules a file imports, wherever in the file."""
    package = ("resnet_jax", *path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = [*base, *(node.module.split(".") if node.module else [])]
            yield from ([*module, alias.name] for alias in node.names)


@pytest.mark.parametrize("room", ROOMS)
def test_arrows(room):
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        for name in imports(path):
            where = f"{path.relative_to(ROOT)} imports {'.'.join(name)}"
            assert name[0] != "experiments", where
            assert name[0] not in FOREIGN[room], where
            if name[0] == "resnet_jax" and len(name) > 1:
                assert name[1] in ALLOWED[room] | {room}, where


def test_nothing_is_exported_by_star():
    for path in ROOT.rglob("*.py"):
        assert all(name[-1] != "*" for name in imports(path)), path
