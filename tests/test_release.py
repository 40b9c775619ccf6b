"""The release: its metadata, and that it holds the library alone and works by itself."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from resnet_jax.storage import DISTRIBUTION

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NAME = f"{PROJECT['name'].replace('-', '_')}-{PROJECT['version']}"

SMOKE = ROOT / ".ci" / "smoke.py"


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
    printed = call(python, "-W", "error", SMOKE, cwd=elsewhere, env=clean)
    assert printed == f"flax-resnet {PROJECT['version']}: 16 images classified\n"


README = (ROOT / "README.md").read_text("utf-8")
EXTRAS = PROJECT["optional-dependencies"]


def test_one_name():
    assert PROJECT["name"] == DISTRIBUTION
    assert "resnet-jax[" not in README
    for extras in re.findall(r"(?:'\.|flax-resnet)\[([\w,]+)\]", README):
        assert set(extras.split(",")) <= EXTRAS.keys()


def test_every_command_that_installs_an_extra_names_one():
    for path in [*(ROOT / "resnet_jax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]:
        text = path.read_text("utf-8")
        for extra in re.findall(r"(?:install_command\(['\"]|flax-resnet\[|'\.\[)(\w+)", text):
            assert extra in EXTRAS, (path, extra)


def test_the_python_versions_are_those_of_the_readme():
    oldest = PROJECT["requires-python"].removeprefix(">=")
    listed = [
        line.rpartition(" ")[2]
        for line in PROJECT["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", line)
    ]
    assert listed[0] == oldest
    for version in re.findall(r"Python (3\.\d+)", README):
        assert version in listed
    assert f"Python {oldest} or newer" in README


def test_the_oldest_jax_is_that_of_the_readme_and_of_ci():
    requirements = dict(line.split(">=") for line in PROJECT["dependencies"] if line[:3] == "jax")
    assert f"JAX {requirements['jax']}" in README
    assert f"jax=={requirements['jax']}" in (ROOT / ".ci" / "oldest.txt").read_text("utf-8")


def test_the_oldest_dependencies_are_the_lower_bounds():
    """`.ci/run oldest-deps` installs them."""
    lines = (ROOT / ".ci" / "oldest.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    for line in PROJECT["dependencies"]:
        requirement = Requirement(line)
        (bound,) = requirement.specifier
        assert bound.operator == ">="
        # The first release of 0.12 is 0.12.0, but that of some packages is a later one.
        pinned = Version(pins.pop(requirement.name))
        assert pinned in requirement.specifier
        assert (
            pinned.release[: len(Version(bound.version).release)] == Version(bound.version).release
        )
    assert pins.keys() <= {"jaxlib"}


def imported(folder):
    """Top-level names that the code of a folder imports."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.split(".")[0]


def test_every_import_is_declared():
    by_module = importlib.metadata.packages_distributions()
    declared = {Requirement(line).name for line in PROJECT["dependencies"]}
    for extra in EXTRAS.keys() - {"test"}:
        declared |= {Requirement(line).name for line in EXTRAS[extra]}

    def plain(name):
        return re.sub(r"[-_.]+", "-", name).lower()

    # JAX brings jaxlib, and Grain absl; torch reads the pickled weights of those who have it.
    known = set(map(plain, declared | {"jaxlib", "absl-py", "torch"}))
    modules = set(imported(ROOT / "resnet_jax")) - sys.stdlib_module_names
    for module in modules:
        assert {plain(name) for name in by_module.get(module, [module])} & known, module


def test_the_metadata_name_neither_a_person_nor_a_place():
    authors = "The resnet_jax authors"
    assert PROJECT["authors"] == [{"name": authors}]
    assert authors in (ROOT / "LICENSE").read_text("utf-8")
    assert PROJECT["license"] == "MIT"  # an SPDX expression
    assert "urls" not in PROJECT


def test_the_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["type"] == "software"
    assert citation["authors"] == PROJECT["authors"]
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    for reference in citation["references"]:
        assert {"type", "title", "authors"} <= reference.keys()
