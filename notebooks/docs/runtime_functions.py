"""An extension of Griffe: show public functions that reading the source alone does not find.

Such are the functions that another function makes (`resnet34 = _factory("resnet34")`), and those
that have the name of the module they come from (`from .read_ahead import read_ahead`).
"""

import importlib
import inspect

import griffe


class RuntimeFunctions(griffe.Extension):
    """Put the functions that the imported rooms have in the place of what was read."""

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
