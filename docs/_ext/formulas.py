"""Formulas as MathML, which browsers show by themselves: no script and nothing from the network."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml import converter
from sphinx.application import Sphinx
from sphinx.util import logging

log = logging.getLogger(__name__)
UNKNOWN = {"{aligned}": "{align*}", r"\arg": r"\mathrm{arg}\,"}
"""What latex2mathml does not know, and what says the same."""
FUNCTION = re.compile(r"(<mi>(?:log|ln|exp|sin|cos|tanh|det|arg|dim)</mi>)(?!<mo[^>]*>&#x00028;)")


def convert(text: str, display: str = "inline") -> str:
    """Return a formula in LaTeX as MathML, with a thin space between the name of a function and its argument."""
    for unknown, known in UNKNOWN.items():
        text = text.replace(unknown, known)
    made = converter.convert(text, display=display)
    if "<mi>&</mi>" in made or "\\" in made:
        log.warning("a formula is not rendered whole: %s", text, type="formulas")
    return FUNCTION.sub(r'\1<mspace width="0.17em"/>', made)


def inline(self: Any, node: nodes.math) -> None:
    """Write a formula within a line."""
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def displayed(self: Any, node: nodes.math_block) -> None:
    """Write a formula on lines of its own, with its number where it has one."""
    text = node.astext()
    if "\\\\" in text and "\\begin" not in text:
        text = f"\\begin{{aligned}}{text}\\end{{aligned}}"
    number = f'<span class="eqno">({node["number"]})</span>' if node.get("number") else ""
    anchor = f' id="{node["ids"][0]}"' if node.get("ids") else ""
    self.body.append(f'<div class="math"{anchor}>{number}{convert(text, display="block")}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the renderer by its name, `mathml`."""
    app.add_html_math_renderer("mathml", (inline, None), (displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
