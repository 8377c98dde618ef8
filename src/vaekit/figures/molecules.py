"""Drawings of molecules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.errors import optional
from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, MOST, CELL = 5, 25, 270
LETTERS = 22
"""Letters of a SMILES that have room below its drawing."""
_FIRST_WORD = 4
_END = 2


def molecules(x: Any, facts: Mapping[str, Any]) -> Figure:
    """Draw rows of tokens (N, T) as molecules, with `facts` of the data set (`vocabulary`, `representation`)."""
    return drawings([_smiles(row, facts) for row in x.tolist()[:MOST]])


def drawings(smiles: Sequence[str]) -> Figure:
    """Draw molecules in a grid, five a row, with their SMILES below; what is no molecule stays empty and says so.

    Raises:
        UserError: rdkit is not installed.

    >>> len(drawings(["CCO", "c1ccccc1"]).axes)
    1
    """
    need()
    from rdkit import Chem, rdBase
    from rdkit.Chem.Draw import MolsToGridImage, rdMolDraw2D

    with rdBase.BlockLogs():
        parsed = [Chem.MolFromSmiles(text) if text else None for text in smiles]
    options: Any = rdMolDraw2D.MolDrawOptions()
    options.drawMolsSameScale, options.legendFontSize, options.padding = False, 22, 0.08
    columns = max(1, min(COLUMNS, len(parsed)))
    picture: Any = MolsToGridImage(
        parsed,
        molsPerRow=columns,
        subImgSize=(CELL, CELL),
        legends=[legend(text, one is not None) for text, one in zip(smiles, parsed, strict=True)],
        drawOptions=options,
        returnPNG=False,
    )
    fig = style.figure(style.WIDTH, style.WIDTH * -(-len(parsed) // columns) / columns)
    style.bare(fig.add_subplot()).imshow(np.asarray(picture), interpolation="antialiased")
    return fig


def legend(smiles: str, drawn: bool) -> str:
    """Return what stands below a drawing: the SMILES, or why there is no drawing."""
    if not smiles:
        return "(no atoms)"
    return style.short(smiles, LETTERS) if drawn else "(no molecule)"


def svg(smiles: str, *, dark: bool = False, width: int = 280, height: int = 210) -> str:
    """Return a drawing of one molecule as SVG without a ground, in colours for a light or dark one.

    What is no molecule gives a picture that says so.

    Raises:
        UserError: rdkit is not installed.

    >>> svg("CCO").count("<svg"), "(no molecule)" in svg("C(")
    (1, True)
    """
    need()
    from rdkit import Chem, rdBase
    from rdkit.Chem.Draw import rdMolDraw2D

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles) if smiles else None
    if molecule is None:
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"><text x="50%" y="50%" '
            f'text-anchor="middle" font-family="sans-serif" font-size="14" fill="{"#ccc" if dark else "#555"}">'
            "(no molecule)</text></svg>"
        )
    pen: Any = rdMolDraw2D.MolDraw2DSVG(width, height)
    options = pen.drawOptions()
    if dark:
        rdMolDraw2D.SetDarkMode(options)
    options.clearBackground, options.padding = False, 0.08
    rdMolDraw2D.PrepareAndDrawMolecule(pen, molecule)
    pen.FinishDrawing()
    return str(pen.GetDrawingText())


def need() -> None:
    """Raise a UserError if rdkit is not installed."""
    optional("rdkit", "drawing molecules needs the package rdkit: pip install 'vaekit[mol]'")


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
    selfies = optional("selfies", "drawing SELFIES needs the package selfies: pip install 'vaekit[mol]'")
    return str(selfies.decoder(text))
