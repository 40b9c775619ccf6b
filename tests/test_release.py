"""The release holds the library alone, and works where nothing else of the repository is."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NAME = f"resnet_jax-{PROJECT['version']}"

SMOKE = """
import importlib.metadata, importlib.util, pathlib, sys
import jax, numpy as np
import resnet_jax as rj

folder = pathlib.Path(rj.__file__).parent
assert folder.is_relative_to(sys.prefix), folder
assert (folder / "py.typed").is_file()
assert importlib.util.find_spec("experiments") is None
assert importlib.metadata.version("resnet-jax")
for module in (rj, rj.data, rj.models, rj.ops, rj.run, rj.training, rj.evaluation):
    for name in module.__all__:
        assert getattr(module, name) is not None
digits = rj.load_dataset("digits")
numbers = {"mean": digits.mean, "std": digits.std}
transform = rj.Transform(source=(8, 8), resize=9, crop=8, **numbers)
model = rj.ResNet(rj.BasicBlock, (1, 1, 1, 1), num_classes=10, base_planes=4, stem="cifar")
variables = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
images, labels = digits.test.images[:16], digits.test.labels[:16]
logits = rj.predict_logits(model, variables, images, transform.center, batch_size=16)
print(rj.confusion_matrix(labels, logits.argmax(1), num_classes=10).sum())
"""


def call(*command, **options):
    done = subprocess.run(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        **options,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A folder with the source archive and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


STUBS = {f"resnet_jax/{room}__init__.pyi" for room in ("", "run/", "evaluation/")}
"""The package imports the names that these files list; without them it has none."""


def library():
    files = (path for path in (ROOT / "resnet_jax").rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"}


def test_the_wheel_holds_the_library_alone(release):
    with zipfile.ZipFile(release / f"{NAME}-py3-none-any.whl") as wheel:
        names = set(wheel.namelist())
    metadata = {name for name in names if name.startswith(f"{NAME}.dist-info/")}
    assert names - metadata == library()
    assert names >= STUBS
    assert f"{NAME}.dist-info/licenses/LICENSE" in metadata


def test_the_source_archive_holds_what_builds_it(release):
    with tarfile.open(release / f"{NAME}.tar.gz") as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    others = {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO", ".gitignore"}
    assert names == library() | others
    assert names >= STUBS


def test_the_wheel_works_by_itself(release, tmp_path):
    environment = tmp_path / "venv"
    call(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    wheel = release / f"{NAME}-py3-none-any.whl"
    call(*pip, "--no-deps", "--no-index", "--no-compile", wheel)
    # The dependencies, without the editable install of this repository.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    printed = call(python, "-W", "error", "-c", SMOKE, cwd=elsewhere, env=clean)
    assert printed == "16\n"
