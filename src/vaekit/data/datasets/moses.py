"""MOSES's training molecules, from the file that its package brings along; the package itself is never imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.lines import Lines
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
    """Return the lines of the package's file.

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
