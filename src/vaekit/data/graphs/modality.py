"""Graphs: one large graph whose edges are held out, or many graphs of which some are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from vaekit.atomic import replacing, write_text
from vaekit.data.contents import contents_of
from vaekit.data.csv_files import write_csv
from vaekit.data.dataset import DataSet, Split
from vaekit.data.datasets import read_if_known
from vaekit.data.graphs.features import feature_kind, feature_width, with_features
from vaekit.data.graphs.graph_files import read_graphs
from vaekit.data.graphs.keys import graph_keys
from vaekit.data.graphs.links import as_tensor, link_splits, unsplit
from vaekit.data.graphs.raw_graphs import RawGraphs
from vaekit.data.info import DataInfo
from vaekit.data.limits import bounded
from vaekit.data.modality import MODALITIES, Modality
from vaekit.data.origin import Origin
from vaekit.data.paths import exists, resolve_path
from vaekit.data.prepare import Prepare
from vaekit.data.settings import DataSettings, settings_as
from vaekit.data.splits import deal
from vaekit.errors import UserError
from vaekit.figures.graphs import graphs
from vaekit.graphs import Graphs

SHOWN_EDGES = 40


class GraphSettings(DataSettings):
    """Settings of graphs."""

    valid: float | int = Field(default=0.05, ge=0, description="held out: a share or count of edges, or of graphs")
    test: float | int = Field(default=0.1, ge=0, description="the same for the test split")
    seed: int | None = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default=None, ge=0, lt=2**63, description="chooses the splits; default: the run's own seed, so seeds vary both"
    )
    features: Literal["auto", "given", "indicator", "spectral"] = Field(
        default="auto",
        description="what the encoder is told of a node: the features 'given', an 'indicator' of its own (one graph "
        "only), or where it lies in the graph's leading eigenvectors ('spectral'); 'auto' takes what is given, else an "
        "indicator in one graph, else spectral",
    )
    held_out: Literal["absent", "hidden"] = Field(
        default="absent",
        description="what held-out edges of one graph are while training: 'absent', pairs not joined like all others "
        "(the published protocol), or 'hidden', left out of the score with as many pairs not joined",
    )
    threshold: float | None = Field(
        default=None, gt=0, description="where edges have weights, those of a smaller size than this are no edges"
    )
    spectral: int = Field(default=8, ge=1, description="eigenvectors of spectral features")


class GraphData(Modality):
    """Undirected simple graphs. One graph: 5% of its edges validate and 10% test, with as many pairs not joined.

    A split of one graph holds the whole graph: an encoder sees the training edges alone (`Graphs.seen`). Training
    scores every pair, held-out edges as not joined, or (`data.held_out=hidden`) leaves the held-out pairs out;
    validation scores all but the test's, test every pair. The pairs to predict are in `Graphs.asked`. Several graphs
    are split as examples are. Nothing is fitted, so nothing is fitted to held-out data.

    `info.facts`: `links` (one graph?), `features` (their kind), `inputs` (how many), `sizes` ([nodes, graphs] pairs and
    `density` of the training split), `classes` (the nodes' labels), `names` (of the nodes of one graph).
    """

    name = "graphs"
    noun = "graphs"
    settings = GraphSettings
    reads = (".edges", ".edgelist", ".graphml", ".gml")
    formats = (".npz", ".edges")
    picture = staticmethod(graphs)

    def load(self, source: Any, settings: DataSettings) -> DataSet:
        """Read graphs and split them.

        Raises:
            UserError: the source cannot be read, or has an edge or a value that is not valid; it is named.

        >>> ring = {i: [(i + 1) % 30, (i - 1) % 30] for i in range(30)}
        >>> data = GraphData().load(ring, GraphSettings(test=3, valid=2))
        >>> [len(split.x.edges) for split in (data.train, data.valid, data.test)], data.test.x.answers.tolist()
        ([25, 27, 30], [True, True, True, False, False, False])
        """
        own = settings_as(GraphSettings, settings)
        raw = _read(source, own)
        own = own.model_copy(update={"seed": own.seed or 0})
        links = len(raw.sizes) == 1
        kind = feature_kind(raw, own.features, links)
        if links:
            splits, contents = link_splits(raw, own, hide=own.held_out == "hidden")
            parts = [with_features(part, raw, kind, own.spectral) for part in splits]
            numbers, keyed = [np.arange(1)] * 3, [None] * 3
        else:
            whole = with_features(unsplit(raw), raw, kind, own.spectral)
            keys = graph_keys(raw)
            dealt = deal(keys, raw.source, own)
            numbers, contents = [dealt.train, dealt.valid, dealt.test], contents_of(dealt, keys)
            parts, keyed = [whole[as_tensor(index)] for index in numbers], [keys[index] for index in numbers]
        train = parts[0]
        pairs = int((train.sizes * (train.sizes - 1) // 2).sum()) - (0 if train.hidden is None else len(train.hidden))
        values, counts = np.unique(train.sizes.numpy(), return_counts=True)
        info = DataInfo(
            name=raw.name,
            shape=(int(raw.sizes.max()),),
            kind="graph",
            levels=None,
            n_train=len(parts[0]),
            n_valid=len(parts[1]),
            n_test=len(parts[2]),
            source=raw.source,
            modality=self.name,
            facts={
                "links": links,
                "features": kind,
                "spectral": own.spectral,
                "inputs": feature_width(train, kind),
                "sizes": [[int(n), int(c)] for n, c in zip(values, counts)],
                "density": len(train.edges) / max(pairs, 1),
                "classes": list(raw.classes),
                "names": list(raw.names),
            },
        )
        splits: list[Any] = [
            Split(x, origin=_origin(raw).take(i), keys=own_keys)  # type: ignore[arg-type]
            for x, i, own_keys in zip(parts, numbers, keyed)
        ]
        return DataSet(info, splits[0], splits[1], splits[2], Prepare("graph"), contents)

    def encode(self, source: Any, info: DataInfo, settings: DataSettings) -> Split:
        """Read other graphs the way the run's own were: every edge is seen and scored.

        Raises:
            UserError: nodes have other features than the run's, or, where each node has an indicator, they are not the
                run's: by their names if they have any, else by their number.
        """
        raw, kind = _read(source, settings_as(GraphSettings, settings)), info.facts["features"]
        if kind == "given" and raw.features is None:
            raise UserError(f"{raw.source}: nodes have no features, and this run's have {info.facts['inputs']}")
        if kind == "indicator" and raw.names and info.facts.get("names"):
            raw = raw.renumbered(info.facts["names"])
        x = with_features(unsplit(raw), raw, kind, info.facts["spectral"])
        width = feature_width(x, kind)
        if width != info.facts["inputs"]:
            raise UserError(
                f"{raw.source} has {width} features a node and this run's model takes {info.facts['inputs']}"
                if kind == "given"
                else f"{raw.source} has {width} nodes; this run's model takes exactly {info.facts['inputs']}, by number"
            )
        return Split(x, origin=_origin(raw), keys=graph_keys(raw))  # type: ignore[arg-type]

    def lines(self, x: Graphs, info: DataInfo) -> list[str]:  # type: ignore[override]
        """Return each graph's size and its first edges."""
        names = info.facts.get("names") or ()
        out = []
        for i, n in enumerate(x.sizes.tolist()):
            edges = x[i].edges.tolist()
            shown = [f"{_name(names, a, n)}-{_name(names, b, n)}" for a, b in edges[:SHOWN_EDGES]]
            more = f" … and {len(edges) - SHOWN_EDGES:,} more" if len(edges) > SHOWN_EDGES else ""
            out.append(f"{n:,} nodes, {len(edges):,} edges: {' '.join(shown)}{more}")
        return out

    def write(self, path: Path, x: Graphs, info: DataInfo, y: Any = None) -> None:  # type: ignore[override]
        """Write an NPZ of `sizes` and `edges` as `load` reads it, or a list of edges.

        That of one graph has its nodes' names, if they have any, under a header; others have a comment a graph.
        """
        if path.suffix.lower() == ".npz":
            with replacing(path) as part, part.open("wb") as out:
                np.savez_compressed(out, sizes=x.sizes.numpy(), edges=x.edges.numpy())
            return
        names = info.facts.get("names") or ()
        if len(x) == 1 and len(names) == x.nodes:
            edges = [[names[a], names[b]] for a, b in x.edges.tolist()]
            write_csv(path, ["source", "target"], edges)
            return
        starts = x.starts.tolist()
        text = []
        for i, n in enumerate(x.sizes.tolist()):
            text.append(f"# graph {i}: nodes {starts[i]} to {starts[i] + n - 1}")
            text += [f"{a + starts[i]} {b + starts[i]}" for a, b in x[i].edges.tolist()]
        write_text(path, "\n".join(text) + "\n")


def _origin(raw: RawGraphs) -> Origin:
    """Name the nodes of one graph, or number several graphs."""
    if len(raw.sizes) > 1:
        return Origin({"graph": np.arange(len(raw.sizes))})
    n = int(raw.sizes[0])
    return Origin({"node": np.array(raw.names) if len(raw.names) == n else np.arange(n)}, inside=True)


def _name(names: Sequence[str], node: int, n: int) -> str:
    return names[node] if len(names) == n else str(node)


@bounded
def _read(source: Any, settings: GraphSettings) -> RawGraphs:
    known = read_if_known(source, GraphData.name, "holds no graphs; give cora, citeseer, or a file of edges")
    if known is not None:
        return known
    named = isinstance(source, str) and "/" not in source and not exists(Path(source))
    return read_graphs(resolve_path(source) if named else source, settings.threshold)


MODALITIES.register("graphs", summary="undirected graphs: one with links held out, or many")(GraphData())
