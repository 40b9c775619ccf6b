"""The report of a run as a single HTML page without scripts, network access or other files."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ..storage import atomic_path, first_line, printable, printable_name, to_plain, whole_number
from .figures.svg import inline_svg
from .page_words import describe_figures, percent
from .validation import class_indices, class_probabilities

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE_CLASSES = 30
"""Largest number of classes for which the confusion matrix is a table; above, it is a picture."""

EPOCH_PARTS = {
    "data": "waiting for data",
    "steps": "training steps",
    "train_evaluation": "accuracy of the training images",
    "valid_evaluation": "accuracy of the validation images",
    "checkpoints": "checkpoints",
    "other": "everything else",
}
"""How the page names the parts of an epoch."""


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction.

    Attributes:
        index: index of the image in the test set.
        image: the image, uint8 `[height, width, channels]` with 1 or 3 channels.
        true: name of the true class.
        predicted: name of the predicted class.
        confidence: probability of the predicted class, a fraction.
    """

    index: int
    image: NDArray[np.uint8]
    true: str
    predicted: str
    confidence: float


def most_confident_mistakes(
    labels: ArrayLike, probabilities: ArrayLike, *, count: int = 12
) -> NDArray[np.int64]:
    """Return the indices of wrong predictions, the most confident first.

    Args:
        labels: true class indices `[n]`.
        probabilities: probabilities of the classes `[n, classes]`.
        count: largest number of indices to return.

    Returns:
        Indices below n; examples of equal confidence keep their order.

    Raises:
        ValueError: if the labels are no class indices, the shapes do not match, or `count` is
            below 0.
        TypeError: if `count` is no whole number.

    >>> most_confident_mistakes([0, 0, 1], [[0.4, 0.6], [0.9, 0.1], [0.8, 0.2]]).tolist()
    [2, 0]
    """
    true = class_indices("labels", labels)
    values = class_probabilities(probabilities, len(true))
    count = whole_number("count", count, least=0)
    wrong = np.flatnonzero(values.argmax(1) != true)
    order = np.argsort(-values[wrong].max(1), kind="stable")
    return wrong[order][:count]


def write_page(
    path: Path,
    report: Mapping[str, Any],
    *,
    title: str,
    figures: Mapping[str, Figure],
    mistakes: Sequence[Mistake],
    files: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write a report as an HTML page, completely or not at all.

    Names and other text of the report may be anything; nothing in them is markup. A figure that is
    missing, or that cannot be drawn, is named on the page.

    The page needs no other file: the figures are part of it. It can be read light or dark, on
    paper, and by a screen reader, for which each figure has a sentence.

    Args:
        path: path of the page; an existing file is replaced.
        report: the values of the run's `report.json`; without `epoch_seconds` the page does not
            say what an epoch is made of, and without `initial_weights` not where training began.
        title: title and heading of the page.
        figures: the figures `loss`, `accuracy`, `learning_rate`, `calibration`,
            `confusion_matrix`, `grad_cam` and `examples`, by name. The page says of one that is
            missing why it was not drawn, if `figures_not_drawn` of the report does.
        mistakes: wrong predictions, shown in this order.
        files: what other files hold, by their paths relative to the folder of the page, which
            lists and links them.

    Raises:
        ValueError: if JSON cannot hold a value of the report.
        OSError: if the page cannot be written; an existing file stays as it was.
    """
    values = to_plain(report, "report", nan=True)
    missing = dict(values.get("figures_not_drawn", {}))
    words = describe_figures(values)

    def drawn(names: Sequence[str], draw: Callable[[Figure, str], str]) -> dict[str, str | None]:
        """Return figures as HTML by name; None, and a reason in `missing`, where that fails."""
        return {name: _drawn(figures.get(name), name, draw, missing) for name in names}

    text = _ENVIRONMENT.get_template("report.html").render(
        title=title,
        report=values,
        svg=drawn(
            ("loss", "accuracy", "learning_rate", "calibration"),
            lambda figure, name: Markup(inline_svg(figure, name=name, label=words[name])),
        ),
        png=drawn(
            ("grad_cam", "examples", "confusion_matrix"), lambda figure, _: _figure_uri(figure)
        ),
        words=words,
        missing=missing,
        part_names=EPOCH_PARTS,
        matrix=_matrix_rows(values),
        mistakes=[(mistake, _image_uri(mistake.image)) for mistake in mistakes],
        files=files,
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _matrix_rows(report: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return each row's name and its cells' counts and shares, or None if there are too many."""
    names, counts = list(report["per_class"]), np.asarray(report["confusion_matrix"])
    if len(names) > TABLE_CLASSES:
        return None
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return [
        {"name": name, "cells": list(zip(row.tolist(), share.tolist(), strict=True))}
        for name, row, share in zip(names, counts, shares, strict=True)
    ]


def _drawn(
    figure: Figure | None,
    name: str,
    draw: Callable[[Figure, str], str],
    missing: dict[str, str],
) -> str | None:
    """Return a figure as HTML; None, and the reason in `missing`, if it cannot be drawn."""
    if figure is None:
        missing.setdefault(name, "there is none")
        return None
    try:
        return draw(figure, name)
    except Exception as error:  # Matplotlib raises many kinds.
        missing[name] = first_line(error)
        return None


def _uri(data: bytes) -> str:
    """Return a PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def _figure_uri(fig: Figure) -> str:
    """Draw a figure and return it as a data URI."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=200)
    return _uri(buffer.getvalue())


def _image_uri(image: NDArray[np.uint8]) -> str:
    """Return an image as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG")
    return _uri(buffer.getvalue())


def _duration(seconds: float) -> str:
    """Return a duration, given in seconds, in the units that a reader expects.

    >>> _duration(4.2), _duration(278), _duration(7260)
    ('4.2 s', '4 min 38 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _name(text: str) -> Markup:
    """Return a name as an element whose direction of writing stays its own."""
    return Markup("<bdi>{}</bdi>").format(printable_name(text))


def _finalize(value: Any) -> Any:
    """Return a value of the template, as text that can be shown and encoded."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("resnet_jax.evaluation", "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    finalize=_finalize,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "percent": percent,
    "duration": _duration,
    "sqrt": math.sqrt,
    "name": _name,
}
