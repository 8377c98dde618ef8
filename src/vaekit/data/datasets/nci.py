"""The 5,000 molecules of the National Cancer Institute's collection that rdkit bundles."""

from __future__ import annotations

from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.lines import Lines
from vaekit.data.molecules.chemistry import need
from vaekit.data.molecules.smiles_files import read_smiles


@DATASETS.register(
    "nci",
    summary="molecules of the NCI's open collection as SMILES, bundled: no download",
    reference="National Cancer Institute, open database, first 5,000 structures, by rdkit",
    licence="public domain",
    size="4,999 SMILES",
    bundled="rdkit",
    modality="molecules",
)
def nci(_: Path) -> Lines:
    """Return the lines of rdkit's file."""
    path = Path(need("rdkit.RDConfig").RDDataDir) / "NCI" / "first_5K.smi"
    return read_smiles(path, name="nci", lenient=True)
