"""Drawings of molecules."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vaekit.errors import UserError
from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, MOST = 5, 25
_FIRST_WORD = 4
_END = 2


def molecules(x: Any, facts: Mapping[str, Any]) -> Figure:
    """Draw rows of tokens (N, T) as molecules, with `facts` of the data set (`vocabulary`, `representation`)."""
    return drawings([_smiles(row, facts) for row in x.tolist()[:MOST]])


def drawings(smiles: Sequence[str], captions: Sequence[str] = (), title: str | None = None) -> Figure:
    """Draw molecules in a grid, five a row, each with its caption; what is no molecule stays empty and says so.

    Raises:
        UserError: rdkit is not installed.

    >>> len(drawings(["CCO", "c1ccccc1"]).axes)
    1
    """
    try:
        from rdkit import Chem, rdBase
        from rdkit.Chem.Draw import rdMolDraw2D
    except ImportError:
        raise UserError("drawing molecules needs the package rdkit: pip install 'vaekit[mol]'") from None
    block = rdBase.BlockLogs()
    found = [Chem.MolFromSmiles(text) if text else None for text in smiles]
    del block
    words = list(captions) if captions else [""] * len(found)
    words = [word if one is not None else f"{word} (no molecule)".strip() for word, one in zip(words, found)]
    columns = max(1, min(COLUMNS, len(found)))
    rows = -(-len(found) // columns)
    cell = 260
    canvas: Any = rdMolDraw2D.MolDraw2DCairo(columns * cell, rows * cell, cell, cell)
    canvas.drawOptions().legendFontSize = 22
    canvas.drawOptions().padding = 0.08
    empty = Chem.MolFromSmiles("")
    canvas.DrawMolecules([empty if one is None else one for one in found], legends=words)
    canvas.FinishDrawing()
    return _framed(canvas.GetDrawingText(), rows / columns, title)


def _framed(png: bytes, ratio: float, title: str | None) -> Figure:
    """Return the drawing as a figure."""
    from matplotlib.image import imread

    fig = style.figure(style.WIDTH, style.WIDTH * ratio + (0.4 if title else 0.0))
    ax = style.bare(fig.add_subplot())
    ax.imshow(imread(io.BytesIO(png), format="png"), interpolation="antialiased")
    style.heading(fig, title)
    return fig


def _smiles(row: Sequence[int], facts: Mapping[str, Any]) -> str:
    words = []
    for number in row:
        if number == _END:
            break
        if number >= _FIRST_WORD:
            words.append(facts["vocabulary"][number - _FIRST_WORD])
    text = "".join(words)
    if facts["representation"] != "selfies":
        return text
    try:
        import selfies
    except ImportError:
        raise UserError("drawing SELFIES needs the package selfies: pip install 'vaekit[mol]'") from None
    return str(selfies.decoder(text))
