"""Citation graphs of the Planetoid repository: papers that cite one another, the words in them, their fields."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vaekit.data.datasets import DATASETS
from vaekit.data.download import Remote, local_file
from vaekit.data.graphs.graph_files import RawGraphs, read_graphs

_SHARED: dict[str, Any] = {
    "reference": "Yang, Cohen & Salakhutdinov 2016, arXiv:1603.08861; Sen et al. 2008",
    "licence": "MIT",
    "folder": "graphs",
    "modality": "graphs",
}


def _read(folder: Path, name: str) -> RawGraphs:
    path = local_file(folder, f"{name}.npz")
    assert path is not None
    return replace(read_graphs(path), name=name)


@DATASETS.register(
    "cora",
    summary="one graph: 2,708 papers on machine learning and who cites whom, 1,433 words, seven fields",
    size="2,708 nodes, 5,278 edges",
    files=(Remote("cora.npz", "eadda4769066cefdd12ce24bfefab563", ()),),
    **_SHARED,
)
def cora(folder: Path) -> RawGraphs:
    """Return the graph of Cora."""
    return _read(folder, "cora")


@DATASETS.register(
    "citeseer",
    summary="one graph: 3,327 papers on computer science and who cites whom, 3,703 words, six fields",
    size="3,327 nodes, 4,552 edges",
    files=(Remote("citeseer.npz", "52df1609ade2a53c28c12c6c6887fd5e", ()),),
    **_SHARED,
)
def citeseer(folder: Path) -> RawGraphs:
    """Return the graph of Citeseer."""
    return _read(folder, "citeseer")
