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
    optional("rdkit", "drawing molecules needs the package rdkit: pip install 'vaekit[mol]'")
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
