"""Citation graphs of the Planetoid repository: papers that cite one another, the words in them, their fields."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.download import Remote, local_file
from vaekit.data.graphs.graph_files import read_graphs
from vaekit.data.graphs.raw_graphs import RawGraphs


def _register(name: str, summary: str, size: str, sha256: str) -> None:
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
        files=(Remote(f"{name}.npz", (), sha256),),
        folder="graphs",
        modality="graphs",
    )(read)


_register(
    "cora",
    "2,708 papers on machine learning and who cites whom, 1,433 words, seven fields",
    "2,708 nodes, 5,278 edges",
    "2d1cf1c2f636495354d44a758137a5e278e3b5fb0e74e8533da6e655eb7a9519",
)
_register(
    "citeseer",
    "3,327 papers on computer science and who cites whom, 3,703 words, six fields",
    "3,327 nodes, 4,552 edges",
    "850616ec02d5fbc859c115bc8d818880649c50201c6d4ac5d19336377ceffb1b",
)
