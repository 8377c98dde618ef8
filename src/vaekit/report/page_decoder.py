"""The decoder inside a report: its program, weights and codes, and the script that runs them in the page."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files

from vaekit.report.content import Decoder

SCRIPTS = ("interpreter.js", "decoder.js")


def script() -> str:
    """The page's one script."""
    folder = files("vaekit.report")
    return "\n" + "".join(folder.joinpath(name).read_text("utf-8") for name in SCRIPTS)


def policy() -> str:
    """What the content-security policy allows for it: this very text, and nothing else."""
    return f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()}'"


def section(decoder: Decoder) -> str:
    """The decoder's place in the page, and what the script reads; data blocks are no scripts and are never run."""
    facts = json.dumps({"program": decoder.program, "facts": decoder.facts}, separators=(",", ":"), allow_nan=False)
    blocks = {
        "decoder-facts": facts.replace("<", "\\u003c"),
        "decoder-weights": base64.b64encode(decoder.weights).decode(),
        "decoder-codes": base64.b64encode(decoder.codes).decode(),
    }
    return (
        '<p class="note" id="decoder-off">The sliders and the map need JavaScript.</p>\n'
        '<div id="decoder" class="decoder" hidden></div>\n'
        + "".join(f'<script type="application/json" id="{name}">{block}</script>\n' for name, block in blocks.items())
    )
