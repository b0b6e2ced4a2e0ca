"""Formulas as MathML, which browsers draw by themselves: no script, no font, no network."""

import html
import re

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

BAR = re.compile(r"(?:\\left|\\right)?\\([lr])(vert|Vert)(?![a-zA-Z])")
WORD = re.compile(r'(?:<mi mathvariant="normal">[^<&]</mi>){2,}')
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def with_mathml(page: str, name: str) -> str:
    """A page of HTML in which every formula that arithmatex marked is MathML.

    Raises:
        PluginError: if a formula cannot be read, or a command of it is not known.
    """

    def draw(found: re.Match[str]) -> str:
        tag, tex = found[1], html.unescape(found[2]).strip()
        tex = BAR.sub(_paired, tex)
        try:
            drawn = convert(tex, display="inline" if tag == "span" else "block")
        except Exception as error:  # its own exceptions have no common base
            raise PluginError(f"{name}: the formula {tex!r} cannot be read: {type(error).__name__} {error}") from error
        if "\\" in html.unescape(drawn):
            raise PluginError(f"{name}: the formula {tex!r} has a command that is not known: {drawn}")
        drawn = WORD.sub(lambda letters: f"<mi>{re.sub('<[^>]*>', '', letters[0])}</mi>", drawn)
        return f'<{tag} class="formula">{drawn}</{tag}>'

    return FORMULA.sub(draw, page)


def _paired(bar: re.Match[str]) -> str:
    """A bar that knows its partner: an exponent behind it is then of the whole."""
    return ("\\left" if bar[1] == "l" else "\\right") + ("|" if bar[2] == "vert" else "\\|")
