"""Extensions of Griffe, which reads the docstrings for the reference of the API."""

import importlib
import inspect
import re

import griffe


class RuntimeFunctions(griffe.Extension):
    """Show public functions that reading the source alone does not find.

    Such are the functions that another function makes (`resnet34 = _factory("resnet34")`), and
    those that have the name of the module they come from (`from .read_ahead import read_ahead`).
    """

    def on_package(self, *, pkg, loader, **kwargs):
        """Look at every public name of the package and of its rooms."""
        loader.resolve_aliases(implicit=True, external=False)
        rooms = [pkg, *(module for module in pkg.modules.values() if module.exports)]
        for room in rooms:
            self._inspected = {}
            module = importlib.import_module(room.path)
            for name in module.__all__:
                value = getattr(module, name)
                if inspect.isfunction(value) and not room[name].is_function:
                    room.set_member(name, self._find(value, room, loader))

    def _find(self, function, room, loader):
        """Return what the source says of a function, or else what the function itself says."""
        path = function.__module__
        source = loader.modules_collection[path].members.get(function.__name__)
        if source is not None and source.is_function:
            return source
        if path not in self._inspected:
            self._inspected[path] = griffe.inspect(
                path,
                filepath=loader.modules_collection[path].filepath,
                docstring_parser=loader.docstring_parser,
                docstring_options=loader.docstring_options,
                lines_collection=loader.lines_collection,
                modules_collection=loader.modules_collection,
            )
        return self._inspected[path][function.__name__]


class Doctests(griffe.Extension):
    """Make code of the examples in docstrings, which Markdown takes for quotations."""

    def on_package(self, *, pkg, **kwargs):
        """Look at every docstring of the package."""
        self._fence(pkg)

    def _fence(self, member):
        if member.is_alias:
            return
        if member.docstring:
            member.docstring.value = re.sub(
                r"^>>> .*(?:\n.+)*", r"```pycon\n\g<0>\n```", member.docstring.value, flags=re.M
            )
        for part in member.members.values():
            self._fence(part)
