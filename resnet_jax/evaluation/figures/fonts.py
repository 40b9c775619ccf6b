"""Installed fonts for the characters that the font of the figures lacks."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Collection, Iterable, Iterator

from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

FAMILY = "DejaVu Sans"
"""The font of the figures; Matplotlib brings it along."""
_SHOWN = 20

_logger = logging.getLogger(__name__)


class _Fallbacks:
    """The families found so far for characters that `FAMILY` lacks; None where none has one."""

    def __init__(self) -> None:
        self._families: dict[str, str | None] = {}
        self._fonts = 0
        self._reported: set[str] = set()

    def families(self, chars: Collection[str]) -> dict[str, str | None]:
        """Return a family for each of the characters that `FAMILY` lacks, or None."""
        if len(fontManager.ttflist) != self._fonts:  # A font was added.
            self._fonts = len(fontManager.ttflist)
            self._families.clear()
        unknown = set(chars) - self._families.keys()
        if unknown:
            self._families |= dict.fromkeys(unknown)
            for family in _candidates():
                if not unknown:
                    break
                found = _having(family, unknown)
                self._families |= dict.fromkeys(found, family.name)
                unknown -= found
        return {char: self._families[char] for char in chars}

    def report(self, chars: Collection[str]) -> None:
        """Log which of the characters no font has, each of them once in a process."""
        missing = [char for char, family in self.families(chars).items() if family is None]
        new = sorted(set(missing) - self._reported)
        if not new:
            return
        self._reported.update(new)
        named = ", ".join(f"{char} (U+{ord(char):04X})" for char in new[:_SHOWN])
        more = f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
        _logger.warning(
            "no installed font has a glyph for %s%s; figures show boxes in their place", named, more
        )


_fallbacks = _Fallbacks()


def report_missing(text: str) -> None:
    """Log in one line the characters that no installed font has a glyph for.

    Args:
        text: text of a figure.
    """
    chars = _lacking(text)
    if chars:
        _fallbacks.report(chars)


def use_fallbacks(texts: Iterable[Text]) -> None:
    """Let texts take from other fonts the glyphs that their own lacks.

    Args:
        texts: texts of a figure.
    """
    for text in texts:
        chars = _lacking(text.get_text())
        if chars:
            found = dict.fromkeys(filter(None, _fallbacks.families(chars).values()))
            text.set_fontfamily([FAMILY, *found])


def _lacking(text: str) -> list[str]:
    """Return the characters of a text that `FAMILY` lacks, without those that are never drawn."""
    if text.isascii():
        return []
    font = get_font(findfont(FAMILY))
    return [
        char
        for char in dict.fromkeys(text)
        if char != "\n"
        and not font.get_char_index(ord(char))
        and unicodedata.category(char) != "Cf"
        and not _is_variation_selector(char)
    ]


def _is_variation_selector(char: str) -> bool:
    """Return whether a character only chooses a form of the one before it, such as an emoji's."""
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"


def _candidates() -> Iterator[FontEntry]:
    """Yield the upright installed fonts, those of normal weight and of the Noto project first.

    A font of last resort, which has a box for every character, is left out.
    """
    upright = [
        font
        for font in fontManager.ttflist
        if font.style == "normal" and not font.name.lstrip(".").startswith(("Last Resort", "LastR"))
    ]

    def rank(font: FontEntry) -> tuple[bool, bool, str]:
        normal = font.weight in (400, "normal", "regular", "book")
        return not normal, not font.name.startswith("Noto Sans"), font.name

    yield from sorted(upright, key=rank)


def _having(font: FontEntry, chars: Collection[str]) -> set[str]:
    """Return which of the characters a font has under the name of its family."""
    found = _glyphs(font.fname, chars)
    if found:
        # The name may stand for several files, of which Matplotlib takes one.
        found = _glyphs(findfont(FontProperties(family=[font.name])), found)
    return found


def _glyphs(path: str, chars: Collection[str]) -> set[str]:
    """Return which of the characters a file of a font has; none if it cannot be read."""
    try:
        font = get_font(path)
        return {char for char in chars if font.get_char_index(ord(char))}
    except (OSError, RuntimeError, ValueError):
        return set()
