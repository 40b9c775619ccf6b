"""Who may import what, read off the imports of the library and of the experiments."""

from __future__ import annotations

import ast
import graphlib
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 300  # lines

ROOMS = {
    "storage": set(),
    "ops": {"storage"},
    "models": {"ops", "storage"},
    "nnx": {"models"},
    "data": {"storage"},
    "training": {"data", "ops"},
    "pretrained": {"models", "nnx", "data", "storage"},
    "run": {"training", "data", "models", "ops", "storage"},
    "evaluation": {"training", "data", "models", "ops", "storage"},
}
"""The rooms that each room may import."""

PACKAGES = {
    "storage": {"numpy", "filelock"},
    "ops": {"jax", "jaxlib", "numpy", "filelock"},
    "models": {"jax", "flax"},
    "nnx": {"jax", "flax"},
    "data": {
        *("jax", "numpy", "PIL", "scipy", "sklearn", "array_record", "rich"),
        *("grain", "absl", "pyarrow", "tensorflow_datasets"),
    },
    "training": {"jax", "flax", "optax", "numpy"},
    "pretrained": {"jax", "flax", "numpy", "PIL"},
    "run": {
        *("jax", "flax", "optax", "numpy", "orbax", "rich", "PIL", "google", "tensorboardX"),
        "lazy_loader",
    },
    "evaluation": {
        *("jax", "flax", "numpy", "matplotlib", "jinja2", "markupsafe", "PIL", "lazy_loader"),
        "onnx",
    },
}
"""The packages of others that each room may import."""

PURE = {
    *("__future__", "abc", "collections", "dataclasses", "enum", "functools", "itertools", "math"),
    *("operator", "re", "types", "typing"),
}
PURE_ROOMS = ("models", "nnx", "training")
"""Rooms of functions without effects; of the standard library they import `PURE` only."""

FILES = {
    "models/folding.py": {"numpy"},
    "models/misfit.py": {"numpy"},
    "models/norm_places.py": {"inspect"},
    "models/tensor_values.py": {"numpy"},
    "models/torch_weights.py": {"numpy", "logging"},
    "models/weight_files.py": {"errno", "os", "pathlib", "safetensors"},
    "models/weight_readers.py": {"argparse", "importlib", "pathlib", "safetensors", "zipfile"},
}
"""What single files may import in addition."""


def imports(path: Path, package: tuple[str, ...]) -> Iterator[tuple[list[str], bool]]:
    """Absolute name of everything that a file imports, and whether for the types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split("."), node in for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = [*base, *(node.module.split(".") if node.module else [])]
            yield from (([*module, alias.name], node in for_types) for alias in node.names)


def files(folder: Path) -> list[Path]:
    return sorted(path for suffix in ("py", "pyi") for path in folder.rglob(f"*.{suffix}"))


def forbidden_in_room(library: Path, room: str) -> Iterator[str]:
    """Imports of a room that point the wrong way, or at a package that is not the room's."""
    for path in files(library / room):
        inside = path.relative_to(library)
        allowed = PACKAGES[room] | FILES.get(inside.as_posix(), set())
        allowed |= PURE if room in PURE_ROOMS else sys.stdlib_module_names
        for name, for_types in imports(path, ("resnet_jax", *inside.parent.parts)):
            if name[0] == "resnet_jax":
                fine = len(name) > 1 and name[1] in ROOMS[room] | {room}
            else:
                fine = name[0] in allowed or (for_types and name[0] != "experiments")
            if not fine:
                yield f"{inside} imports {'.'.join(name)}"


def forbidden_in_experiments(folder: Path) -> Iterator[str]:
    """Imports of the library's inner modules, or of names that a room does not make public."""
    for path in files(folder):
        inside = path.relative_to(folder.parent)
        for name, _ in imports(path, inside.parent.parts):
            if name[0] != "resnet_jax" or len(name) == 1:
                continue
            room = "resnet_jax" if name[1] not in ROOMS else f"resnet_jax.{name[1]}"
            rest = name[room.count(".") + 1 :]
            public = importlib.import_module(room).__all__
            if len(rest) > 1 or (rest and rest[0] not in public):
                yield f"{inside} imports {'.'.join(name)}"


def test_every_folder_is_a_room_and_arrows_have_no_cycle():
    assert set(ROOMS) == {path.parent.name for path in (ROOT / "resnet_jax").glob("*/__init__.py")}
    graphlib.TopologicalSorter(ROOMS).prepare()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_it_may(room):
    assert files(ROOT / "resnet_jax" / room)
    assert list(forbidden_in_room(ROOT / "resnet_jax", room)) == []


def test_experiments_use_public_names():
    assert files(ROOT / "experiments")
    assert list(forbidden_in_experiments(ROOT / "experiments")) == []


@pytest.mark.parametrize(
    ("room", "code", "found"),
    [
        ("training", "import pathlib", "pathlib"),
        ("training", "def f():\n    from time import time", "time.time"),
        ("training", "import jax, orbax.checkpoint as ocp", "orbax.checkpoint"),
        ("training", "from ..storage import write_json", "resnet_jax.storage.write_json"),
        ("training", "from ..run.loop import fit", "resnet_jax.run.loop.fit"),
        ("models", "import numpy as np", "numpy"),
        ("models", "from ..training import rules", "resnet_jax.training.rules"),
        ("storage", "import jax", "jax"),
        ("data", "import resnet_jax", "resnet_jax"),
        ("evaluation", "from .. import run", "resnet_jax.run"),
        ("run", "from resnet_jax import evaluation", "resnet_jax.evaluation"),
        ("run", "import matplotlib.figure", "matplotlib.figure"),
        ("run", "from experiments import train", "experiments.train"),
        ("run", "if TYPE_CHECKING:\n    import experiments", "experiments"),
    ],
)
def test_an_arrow_the_wrong_way_is_found(tmp_path, room, code, found):
    (tmp_path / room / "inner").mkdir(parents=True)
    (tmp_path / room / "file.py").write_text(code + "\n")
    assert list(forbidden_in_room(tmp_path, room)) == [f"{room}/file.py imports {found}"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("training/file.py", "import jax\nfrom collections import abc\nfrom . import state"),
        ("training/inner/file.py", "from ..state import TrainState\nfrom ...data import Arrays"),
        ("models/weight_files.py", "import os, pathlib\nfrom ..storage import atomic_path"),
        ("run/file.py", "if TYPE_CHECKING:\n    from matplotlib.figure import Figure"),
    ],
)
def test_other_arrows_are_allowed(tmp_path, path, code):
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(code + "\n")
    assert list(forbidden_in_room(tmp_path, Path(path).parts[0])) == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from resnet_jax.training.optimizer import make_optimizer", True),
        ("from resnet_jax.training import optimizer", True),
        ("import resnet_jax.training.optimizer", True),
        ("from resnet_jax import no_such_name", True),
        ("from resnet_jax.training import make_optimizer", False),
        ("from resnet_jax import fit, training", False),
        ("import resnet_jax as rj\nimport resnet_jax.training", False),
        ("from . import train\nfrom .train import train", False),
    ],
)
def test_private_names_in_experiments_are_found(tmp_path, code, found):
    folder = tmp_path / "experiments" / "benchmarks"
    folder.mkdir(parents=True)
    (folder / "file.py").write_text(code + "\n")
    assert len(list(forbidden_in_experiments(tmp_path / "experiments"))) == found


def test_nothing_is_exported_by_star():
    for path in files(ROOT / "resnet_jax"):
        assert all(name[-1] != "*" for name, _ in imports(path, ("resnet_jax",) * 9)), path


def test_no_file_is_longer_than_it_may_be():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in files(ROOT / "resnet_jax")
    }
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}
