"""What an import pulls in: nothing heavy before it is used, and the names are all there."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import resnet_jax

ROOT = Path(__file__).parents[1]
LAZY = ("resnet_jax", "resnet_jax.run", "resnet_jax.evaluation")
HEAVY = ("grain", "matplotlib", "orbax", "jinja2", "sklearn", "tensorflow_datasets", "rich", "PIL")
# Flax itself imports rich, and the data room decodes images by Pillow.
COMPUTES = tuple(name for name in HEAVY if name != "rich")
PREPARED = ("tensorflow_datasets", "array_record")
TRAINS = tuple(name for name in COMPUTES if name != "PIL")


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import resnet_jax", ("jax", "flax", "optax", *HEAVY)),
        ("import resnet_jax.run", ("jax", *HEAVY)),
        ("import resnet_jax.evaluation", ("jax", *HEAVY)),
        ("import resnet_jax.storage", ("jax", "flax", *HEAVY)),
        ("import resnet_jax.ops", ("flax", "optax", *HEAVY)),
        ("import resnet_jax.models", ("optax", *COMPUTES)),
        ("import resnet_jax.data", ("flax", "optax", *TRAINS)),
        ("import resnet_jax.training", TRAINS),
        ("from resnet_jax import create_model", ("optax", *COMPUTES)),
        ("from resnet_jax.evaluation import accuracy", ("jax", *HEAVY)),
        ("from resnet_jax.evaluation import predict_logits", ("optax", *COMPUTES)),
        ("from resnet_jax.evaluation import plot_accuracy", ("orbax", "jinja2", "sklearn")),
        ("from resnet_jax.evaluation import calibration, plot_calibration", ("orbax", "jinja2")),
        ("from resnet_jax import *", PREPARED),
        ("import experiments.cifar_resnet34, experiments.finetune, experiments.predict", PREPARED),
    ],
)
def test_what_is_not_imported(code, absent):
    check = f"import sys; {code}; print(*sorted(sys.modules.keys() & set({absent!r})))"
    command = [sys.executable, "-W", "error", "-c", check]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


OPTIONAL = """
import sys

# What pip leaves out on some platforms, and what extras bring.
missing = "tensorflow_datasets array_record grain flatbuffers onnx huggingface_hub pyarrow"
sys.modules.update(dict.fromkeys((*missing.split(), "wandb", "trackio"), None))
"""

HELP = """
import importlib
from experiments.__main__ import find_commands

for command in find_commands():
    if command.group != "Benchmarks":
        try:
            importlib.import_module(command.name).main(["--help"])
        except SystemExit as stop:
            assert stop.code == 0
"""

QUICK_RUN = """
from pathlib import Path
from experiments.cifar_resnet34 import main

tiny = "--preset quick --epochs 1 --variant resnet18 --base-planes 4 --resize 10 --crop 8"
assert main([*tiny.split(), "--run-dir", sys.argv[1]]) == 0
assert any(Path(sys.argv[1]).glob("events.out.tfevents.*"))
assert Path(sys.argv[1], "report.html").is_file()
"""


@pytest.mark.parametrize("code", [HELP, QUICK_RUN], ids=["help", "quick run"])
def test_what_works_without_the_optional_packages(code, tmp_path):
    command = [sys.executable, "-c", OPTIONAL + code, tmp_path / "run"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_what_is_imported_would_be_seen():
    """Otherwise the test above could not fail."""
    code = "import sys; from resnet_jax.evaluation import save_figure; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "matplotlib" in done.stdout.split()


@pytest.mark.parametrize("name", LAZY)
def test_the_names_are_those_of_the_stub(name):
    module = importlib.import_module(name)
    tree = ast.parse(Path(module.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    (names,) = (node.value for node in tree.body if isinstance(node, ast.Assign))
    assert sorted(module.__all__) == sorted(ast.literal_eval(names))
    assert set(dir(module)) == set(module.__all__)
    for public in module.__all__:
        assert getattr(module, public) is not None
    with pytest.raises(AttributeError):
        _ = module.no_such_name


@pytest.mark.parametrize("name", LAZY)
def test_no_module_has_the_name_of_a_public_object(name):
    """Importing such a module would put it in the place of the object."""
    package = importlib.import_module(name)
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    for public in modules & set(package.__all__):
        assert getattr(package, public).__name__ == f"{name}.{public}"


def test_top_level_names_are_those_of_the_rooms():
    for public in resnet_jax.__all__:
        value = getattr(resnet_jax, public)
        room = getattr(value, "__module__", "resnet_jax").split(".")
        if len(room) > 1 and room[0] == "resnet_jax":
            assert value is getattr(importlib.import_module(".".join(room[:2])), public)
