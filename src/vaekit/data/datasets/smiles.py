"""Molecules that packages bring along: MOSES's training split, and 5,000 of the National Cancer Institute's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.lines import Lines
from vaekit.data.molecules.chemistry import need
from vaekit.data.molecules.smiles_files import read_smiles
from vaekit.errors import UserError


@DATASETS.register(
    "moses",
    summary="drug-like molecules of ZINC as SMILES, MOSES's training split, from the molsets package's file",
    reference="Polykovskiy et al. 2020, arXiv:1811.12823",
    licence="MIT",
    size="1,584,663 SMILES",
    bundled="molsets",
    module="moses",
    modality="molecules",
)
def moses(_: Path) -> Lines:
    """Return the lines of the package's file; the package itself is never imported.

    Raises:
        UserError: the package is not installed.
    """
    spec = importlib.util.find_spec("moses")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "dataset" / "data" / "train.csv.gz"
        if path.is_file():
            return read_smiles(path, name="moses", lenient=True)
    raise UserError(
        "the data set moses is in the package molsets: pip install --no-deps molsets, or give the path of its "
        "train.csv.gz"
    )


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
