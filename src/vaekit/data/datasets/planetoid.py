"""Citation graphs of the Planetoid repository: papers that cite one another, the words in them, their fields."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.download import Remote, local_file
from vaekit.data.graphs.graph_files import read_graphs
from vaekit.data.graphs.raw_graphs import RawGraphs


def _register(name: str, summary: str, size: str, md5: str) -> None:
    """Register the graph of a file NAME.npz."""

    def read(folder: Path) -> RawGraphs:
        path = local_file(folder, f"{name}.npz")
        assert path is not None
        return replace(read_graphs(path), name=name)

    DATASETS.register(
        name,
        summary=f"one graph: {summary}",
        reference="Yang, Cohen & Salakhutdinov 2016, arXiv:1603.08861; Sen et al. 2008",
        licence="MIT",
        size=size,
        files=(Remote(f"{name}.npz", md5, ()),),
        folder="graphs",
        modality="graphs",
    )(read)


_register(
    "cora",
    "2,708 papers on machine learning and who cites whom, 1,433 words, seven fields",
    "2,708 nodes, 5,278 edges",
    "eadda4769066cefdd12ce24bfefab563",
)
_register(
    "citeseer",
    "3,327 papers on computer science and who cites whom, 3,703 words, six fields",
    "3,327 nodes, 4,552 edges",
    "52df1609ade2a53c28c12c6c6887fd5e",
)
