"""Every public name is documented in one style, and the README's links lead somewhere."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path

import pdoc.doc
import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("storage", "ops", "models", "nnx", "data", "training", "run", "evaluation")
PUBLIC = ("resnet_jax", *(f"resnet_jax.{room}" for room in ROOMS))
FLAX_FIELDS = {"name", "parent", "scope"}  # which every Flax module has
FILES = sorted((ROOT / "resnet_jax").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "tests" / "parity" / "README.md"]


def entries(docstring, *titles):
    """Names that a docstring's sections of these titles explain."""
    sections = re.findall(
        rf"^(?:{'|'.join(titles)}):\n((?: {{4}}.*\n?|\n)+)", docstring, re.MULTILINE
    )
    names = [re.findall(r"^ {4}\**(\w[\w, ]*):", section, re.MULTILINE) for section in sections]
    return {name.strip() for some in names for entry in some for name in entry.split(",")}


def undocumented(module):
    """Public names of a module, of its classes and of its functions without a word on them."""
    # All of them at first: pdoc sees only names that have been imported.
    values = {name: getattr(module, name) for name in module.__all__}
    page = pdoc.doc.Module(module)
    for name, value in values.items():
        if isinstance(value, types.ModuleType):
            if not value.__doc__:
                yield name
            continue
        member = page.get(name)
        if not member.docstring and name not in entries(page.docstring, "Attributes"):
            yield name
        if isinstance(member, pdoc.doc.Class):
            explained = entries(member.docstring, "Args", "Attributes")
            for part in member.members.values():
                ours = part.taken_from[0].startswith(module.__name__.split(".")[0])
                public = not part.name.startswith("_") and part.name not in FLAX_FIELDS
                if ours and public and not part.docstring and part.name not in explained:
                    yield f"{name}.{part.name}"


def stale_arguments(module):
    """Functions whose Args section names others than the parameters that they have."""
    for name in module.__all__:
        value = getattr(module, name)
        functions = {name: value}
        if inspect.isclass(value):
            functions = {f"{name}.{key}": part for key, part in vars(value).items()}
        for called, function in functions.items():
            function = inspect.unwrap(getattr(function, "__func__", function))
            if not inspect.isfunction(function):
                continue
            named = entries(inspect.getdoc(function) or "", "Args")
            parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
            if named and named != parameters:
                yield called


@pytest.mark.filterwarnings("ignore:Error parsing type annotation")  # of other packages
@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert list(undocumented(module)) == []


@pytest.mark.parametrize("name", PUBLIC)
def test_args_sections_name_the_parameters(name):
    assert list(stale_arguments(importlib.import_module(name))) == []


def double_backticks(source):
    """Lines of docstrings, comments and messages with double backticks."""
    for number, line in enumerate(source.splitlines(), 1):
        if "``" in line:
            yield number


def final_stops(source):
    """Lines of `raise X("...")` whose message ends with a full stop; an ellipsis may end it."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
            continue
        for message in node.exc.args:
            # The last literal of an f-string, or of literals that are added.
            while isinstance(message, ast.JoinedStr | ast.BinOp):
                message = message.values[-1] if hasattr(message, "values") else message.right
            text = message.value if isinstance(message, ast.Constant) else None
            if isinstance(text, str) and re.search(r"(^|[^.])\.\s*$", text):
                yield node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_one_style_of_backticks_and_of_messages(path):
    source = path.read_text(encoding="utf-8")
    assert list(double_backticks(source)) == []
    assert list(final_stops(source)) == []


def test_the_reference_has_the_names_that_are_imported_late(tmp_path):
    command = [sys.executable, "-m", "pdoc", "-d", "google", "-o", str(tmp_path), "resnet_jax"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "does not resolve" not in done.stderr
    for page in ("resnet_jax", "resnet_jax/evaluation", "resnet_jax/run"):
        html = (tmp_path / f"{page}.html").read_text(encoding="utf-8")
        module = importlib.import_module(page.replace("/", "."))
        for name in module.__all__:
            if not isinstance(getattr(module, name), types.ModuleType):
                assert f'id="{name}"' in html, name


def test_other_styles_are_found():
    source = '''
def f(x):
    """Return ``x``."""
    if x == 1:
        raise ValueError("`x` must be above 1.")
    if x == 2:
        raise ValueError(
            f"`x` (={x}) must be "
            f"above {x}. "
        ) from None
    if x == 3:
        raise ValueError("`x` must not be" + " 3.")
    if x == 4:
        raise ValueError(f"`x` must be one of {x}")
    if x == 5:
        raise ValueError("`x` is not 5. Take another; or 6, 7, ...")
    raise KeyError(x)
'''
    assert list(double_backticks(source)) == [3]
    assert list(final_stops(source)) == [5, 7, 12]


SAMPLE = '''
"""A module.

Attributes:
    TOLD: a constant.
"""
__all__ = ["TOLD", "UNTOLD", "Thing", "Silent", "call", "hush"]
TOLD = 1
UNTOLD = 2

class Thing:
    """A thing.

    Attributes:
        one: told above,
            in two lines.
    """

    one: int = 1
    two: int = 2
    """Told here."""
    three: int = 3

    def known(self, x):
        """Known.

        Args:
            y: another name.
        """

    def unknown(self):
        pass

class Silent:
    pass

def call(first, second):
    """Calls.

    Args:
        first, second: the two.
    """

def hush(*rest):
    pass
'''


def test_what_is_undocumented_is_found(tmp_path, monkeypatch):
    (tmp_path / "a_sample.py").write_text(SAMPLE)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("a_sample")
    assert list(undocumented(module)) == [
        "UNTOLD", "Thing.three", "Thing.unknown", "Silent", "hush"
    ]  # fmt: skip
    assert list(stale_arguments(module)) == ["Thing.known"]


def anchors(markdown):
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path):
    """Relative links and images of a page that lead to no file, folder or heading."""
    text = path.read_text(encoding="utf-8")
    text_only = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(\s*<?([^)\s>]+)", text_only):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert list(broken_links(page)) == []


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A `title`, twice\n[a](#a-title-twice) [b](#b) [c](page.md#a-title-twice)\n"
        "![d](none.png) [e](https://example.org/none) [f](page.md#none) [g](.)\n"
        "`[h](none)`\n```\n# code\n[i](none)\n```\n[j](#code)\n"
    )
    assert list(broken_links(page)) == ["#b", "none.png", "page.md#none", "#code"]
