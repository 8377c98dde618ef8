"""Molecules as text: reading SMILES, their canonical form, tokens and back, properties, fingerprints.

rdkit and selfies are imported at the first call; without them a `UserError` names the extra.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from vaekit.errors import UserError, optional

Representation = Literal["selfies", "smiles"]
PROPERTIES = {
    "logp": ("rdkit.Chem.Crippen", "MolLogP"),
    "qed": ("rdkit.Chem.QED", "qed"),
    "tpsa": ("rdkit.Chem.rdMolDescriptors", "CalcTPSA"),
    "weight": ("rdkit.Chem.Descriptors", "MolWt"),
}
"""rdkit's functions: Crippen's logP, drug-likeness (Bickerton et al. 2012), polar surface (Å²), mass (g/mol)."""

_SMILES = re.compile(
    r"\[[^\[\]]+\]"  # a bracket atom
    r"|Br|Cl"
    r"|%\d\d|%\(\d+\)"  # ring closures beyond 9
    r"|[BCNOPSFIbcnops*]"
    r"|[0-9]|[-=#$:/\\.()~]"
)


def need(package: str) -> Any:
    """Import a package of the `mol` extra."""
    name = package.split(".")[0]
    return optional(package, f"molecules need the package {name}: pip install 'vaekit[mol]'")


def molecule(smiles: str) -> Any:
    """Return rdkit's molecule, or None where `smiles` is empty or none.

    >>> molecule("C1CC") is None, molecule("") is None, molecule("OCC").GetNumAtoms()
    (True, True, 3)
    """
    with need("rdkit.rdBase").BlockLogs():
        return need("rdkit.Chem").MolFromSmiles(smiles) if smiles else None


def canonical(smiles: str) -> str | None:
    """Return rdkit's canonical SMILES, or None where `smiles` is not a molecule.

    >>> canonical("OCC"), canonical("C(")
    ('CCO', None)
    """
    parsed = molecule(smiles)
    return None if parsed is None else str(need("rdkit.Chem").MolToSmiles(parsed)) or None


def tokens(smiles: str, representation: Representation) -> list[str]:
    """Return the tokens of a molecule: SELFIES symbols, or the atoms, bonds, branches and ring numbers of SMILES.

    Raises:
        ValueError: it has none (characters that no SMILES has, or atoms beyond SELFIES' valences).

    Source: Krenn et al. 2020, arXiv:1905.13741 (SELFIES); Weininger 1988 (SMILES).

    >>> tokens("CC(Cl)=O", "smiles")
    ['C', 'C', '(', 'Cl', ')', '=', 'O']
    >>> tokens("CC=O", "selfies")
    ['[C]', '[C]', '[=O]']
    """
    if representation == "selfies":
        selfies = need("selfies")
        try:
            return list(selfies.split_selfies(selfies.encoder(smiles)))
        except selfies.EncoderError as error:
            reason = next((word for word in str(error).split("\n") if word.strip()), "no reason given")
            raise ValueError(f"has no SELFIES ({reason.strip()})") from None
    symbols = _SMILES.findall(smiles)
    if "".join(symbols) != smiles:
        raise ValueError("has characters that no SMILES has")
    return symbols


def smiles_of(words: Sequence[str], representation: Representation) -> str:
    """Return the SMILES that tokens spell; SELFIES always spell a molecule, though it may be the empty one.

    >>> smiles_of(["[C]", "[=O]", "[Ring1]"], "selfies")
    'C=O'
    """
    text = "".join(words)
    return str(need("selfies").decoder(text)) if representation == "selfies" else text


def properties(smiles: Sequence[str], name: str) -> np.ndarray:
    """Return one of `PROPERTIES` of each molecule, float64; NaN where a SMILES is not a molecule.

    >>> properties(["O", "C("], "weight").round(2).tolist()
    [18.02, nan]
    """
    if name not in PROPERTIES:
        raise UserError(f"there is no property '{name}' of molecules; known: {', '.join(PROPERTIES)}")
    module, function = PROPERTIES[name]
    measure = getattr(need(module), function)
    molecules = [molecule(text) for text in smiles]
    with need("rdkit.rdBase").BlockLogs():
        return np.array([np.nan if one is None else float(measure(one)) for one in molecules])


def fingerprints(smiles: Sequence[str]) -> np.ndarray:
    """Return Morgan fingerprints of radius 2 folded to 1,024 bits, (N, 1024) bool.

    Raises:
        UserError: a SMILES is not a molecule.

    Source: Rogers & Hahn 2010, J. Chem. Inf. Model. 50; the size is MOSES's (Polykovskiy et al. 2020).
    """
    maker = need("rdkit.Chem.rdFingerprintGenerator").GetMorganGenerator(radius=2, fpSize=1024)
    out = np.zeros((len(smiles), 1024), bool)
    for row, text in enumerate(smiles):
        parsed = molecule(text)
        if parsed is None:
            raise UserError(f"'{text}' is not a molecule; leave it out")
        out[row] = maker.GetFingerprintAsNumPy(parsed)
    return out
