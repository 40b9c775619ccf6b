"""Every public name is documented in one style, and the documentation is whole."""

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import griffe
import pytest

ROOT = Path(__file__).parents[1]
ROOMS = (
    "storage", "ops", "models", "nnx", "pretrained", "data", "training", "run", "evaluation"
)  # fmt: skip
PUBLIC = ("resnet_jax", *(f"resnet_jax.{room}" for room in ROOMS))
FILES = sorted((ROOT / "resnet_jax").rglob("*.py"))
PAGES = [
    ROOT / "README.md",
    ROOT / "tests" / "parity" / "README.md",
    *sorted((ROOT / "notebooks").rglob("*.md")),
]


def entries(docstring, *titles):
    """Names that a docstring's sections of these titles explain."""
    sections = re.findall(
        rf"^(?:{'|'.join(titles)}):\n((?: {{4}}.*\n?|\n)+)", docstring, re.MULTILINE
    )
    names = [re.findall(r"^ {4}\**(\w[\w, ]*):", section, re.MULTILINE) for section in sections]
    return {name.strip() for some in names for entry in some for name in entry.split(",")}


def undocumented(module):
    """Public names of a module, of its classes and of its functions without a word on them."""
    file = Path(module.__file__)
    top = file.parents[module.__name__.count(".") + (file.name == "__init__.py")]
    package = module.__name__.partition(".")[0]
    loader = griffe.GriffeLoader(search_paths=[top])
    loader.load(package)
    page = loader.modules_collection[module.__name__]

    def text(part):
        return inspect.cleandoc(part.docstring.value) if part.docstring else ""

    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isroutine(value) or isinstance(value, types.ModuleType):
            if not value.__doc__:
                yield name
            continue
        member = page[name]
        if not text(member) and name not in entries(text(page), "Attributes"):
            yield name
        if member.is_class:
            explained = entries(text(member), "Args", "Attributes")
            for key, part in member.all_members.items():
                # What it inherits from other packages is theirs.
                ours = part.final_target.path if part.is_alias else part.path
                if ours.split(".")[0] != package or key.startswith("_") or key in explained:
                    continue
                if not text(part):
                    yield f"{name}.{key}"


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


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the documentation, whose notebooks were not run."""
    folder = tmp_path_factory.mktemp("site")
    command = ["-m", "mkdocs", "build", "--quiet", "--strict", "-f", ".mkdocs.yml", "-d"]
    done = subprocess.run(
        [sys.executable, *command, folder],
        cwd=ROOT,
        env={**os.environ, "NOTEBOOKS": "false", "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert (done.returncode, done.stdout) == (0, "")  # strict: no link leads nowhere
    return folder


@pytest.mark.parametrize("name", PUBLIC)
def test_the_reference_has_every_public_name(site, name):
    page = site / "docs" / "api" / name.rpartition(".")[2] / "index.html"
    html = page.read_text(encoding="utf-8")
    module = importlib.import_module(name)
    # Aliases of types are explained there.
    told = entries(inspect.getdoc(module), "Attributes")
    for member in module.__all__:
        if isinstance(getattr(module, member), types.ModuleType) or member in told:
            continue
        # The package itself refers to its rooms.
        place = rf'(id="|href="[^"]*#){name}(\.\w+)?\.{member}"'
        assert re.search(place, html), member


def test_every_page_can_be_read_without_a_network(site):
    for path in site.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=[\"']?([^\"' >]+)", html)
        loaded += re.findall(r"<link[^>]*stylesheet[^>]* href=[\"']?([^\"' >]+)", html)
        loaded += re.findall(r"<link[^>]* href=[\"']?([^\"' >]+)[^>]*stylesheet", html)
        assert not [link for link in loaded if re.match(r"(https?:)?//", link)], path


def test_every_image_has_a_text(site):
    for path in site.rglob("*.html"):
        for image in re.findall(r"<img[^>]*>", path.read_text(encoding="utf-8")):
            assert re.search(r'alt="?[^" >]', image), (path, image)


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
