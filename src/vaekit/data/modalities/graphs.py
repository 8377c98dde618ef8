"""Graphs: one large graph whose edges are held out, or many graphs of which some are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from vaekit.atomic import replacing, write_text
from vaekit.data.datasets import DATASETS, read_known
from vaekit.data.graph_files import Found, read_graphs
from vaekit.data.info import DataInfo
from vaekit.data.modality import MODALITIES, Modality
from vaekit.data.prepare import Prepare
from vaekit.data.settings import DataSettings
from vaekit.data.token_rows import split_numbers
from vaekit.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from vaekit.data.dataset import DataSet, Split
    from vaekit.graphs import Graphs

SHOWN_EDGES = 40
LARGEST_DENSE = 2000


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
    reads = (".edges", ".edgelist")
    formats = (".npz", ".edges")
    picture = "vaekit.figures.graphs:graphs"

    def load(self, source: Any, settings: DataSettings) -> DataSet:
        """Read graphs and split them.

        Raises:
            UserError: the source cannot be read, or has an edge or a value that cannot be; it is named.

        >>> ring = {i: [(i + 1) % 30, (i - 1) % 30] for i in range(30)}
        >>> data = GraphData().load(ring, GraphSettings(test=3, valid=2))
        >>> [len(split.x.edges) for split in (data.train, data.valid, data.test)], data.test.x.answers.tolist()
        ([25, 27, 30], [True, True, True, False, False, False])
        """
        from vaekit.data.dataset import DataSet, Split

        found, own = _read(source), _mine(settings)
        links = len(found.sizes) == 1
        kind = _kind(found, own.features, links)
        if links:
            parts = _link_splits(found, own)
            parts = [_with_features(part, found, kind, own.spectral) for part in parts]
        else:
            whole = _with_features(_plain(found), found, kind, own.spectral)
            parts = [whole[_tensor(index)] for index in split_numbers(len(found.sizes), found.source, own)]
        train = parts[0]
        values, counts = np.unique(train.sizes.numpy(), return_counts=True)
        info = DataInfo(
            name=found.name,
            shape=(int(found.sizes.max()),),
            kind="graph",
            levels=None,
            n_train=len(parts[0]),
            n_valid=len(parts[1]),
            n_test=len(parts[2]),
            source=found.source,
            modality=self.name,
            facts={
                "links": links,
                "features": kind,
                "spectral": own.spectral,
                "inputs": _width(found, kind, own.spectral),
                "sizes": [[int(n), int(c)] for n, c in zip(values, counts)],
                "density": _density(train),
                "classes": list(found.classes),
                "names": list(found.names),
            },
        )
        return DataSet(info, *(Split(part) for part in parts), Prepare("graph"))  # type: ignore[arg-type]

    def encode(self, source: Any, info: DataInfo, settings: DataSettings) -> Split:
        """Read other graphs the way the run's own were: every edge is seen and scored.

        Raises:
            UserError: nodes have other features than the run's, or, where each node has an indicator, there are not as
                many.
        """
        from vaekit.data.dataset import Split

        found, kind = _read(source), info.facts["features"]
        if kind == "given" and found.features is None and found.sparse is None:
            raise UserError(f"{found.source}: nodes have no features, and this run's have {info.facts['inputs']}")
        width = _width(found, kind, info.facts["spectral"])
        if width != info.facts["inputs"]:
            raise UserError(
                f"{found.source} has {width} features a node and this run's model takes {info.facts['inputs']}"
                if kind == "given"
                else f"{found.source} has {width} nodes; this run's model tells {info.facts['inputs']} apart by number"
            )
        return Split(_with_features(_plain(found), found, kind, info.facts["spectral"]))  # type: ignore[arg-type]

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

    def write(self, path: Path, x: Graphs, info: DataInfo) -> None:  # type: ignore[override]
        """Write an NPZ of `sizes` and `edges` as `load` reads it, or a list of edges, a comment before each graph."""
        if path.suffix.lower() == ".npz":
            with replacing(path) as part, part.open("wb") as out:
                np.savez_compressed(out, sizes=x.sizes.numpy(), edges=x.edges.numpy())
            return
        starts = x.starts.tolist()
        text = []
        for i, n in enumerate(x.sizes.tolist()):
            text.append(f"# graph {i}: nodes {starts[i]} to {starts[i] + n - 1}")
            text += [f"{a + starts[i]} {b + starts[i]}" for a, b in x[i].edges.tolist()]
        write_text(path, "\n".join(text) + "\n")


def _name(names: Any, node: int, n: int) -> str:
    return names[node] if len(names) == n else str(node)


def _mine(settings: DataSettings) -> GraphSettings:
    own = settings if isinstance(settings, GraphSettings) else GraphSettings.model_validate(settings.model_dump())
    return own if own.seed is not None else own.model_copy(update={"seed": 0})


def _read(source: Any) -> Found:
    if isinstance(source, str) and source in DATASETS:
        found: Any = read_known(source)
        if not isinstance(found, Found):
            raise UserError(f"{source} holds no graphs; give cora, citeseer, or a file of edges")
        return found
    if isinstance(source, str) and "/" not in source and not Path(source).exists():
        from vaekit.data.sources import _resolve

        source = _resolve(source)
    return read_graphs(source)


def _tensor(values: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values, np.int64))


def _plain(found: Found) -> Graphs:
    from vaekit.graphs import Graphs

    labels = None if found.labels is None else _tensor(found.labels)
    return Graphs(_tensor(found.sizes), _tensor(found.edges), labels=labels)


# -- held-out links -------------------------------------------------------------------------------------------------


def _link_splits(found: Found, settings: GraphSettings) -> list[Graphs]:
    """Return the one graph three times: with its training edges, those and the validation's, and all of them."""
    import torch

    from vaekit.graphs import Graphs

    n, count = int(found.sizes[0]), len(found.edges)
    wanted = [int(w) if w >= 1 else math.floor(w * count) for w in (settings.test, settings.valid)]
    if sum(wanted) >= count:
        raise UserError(
            f"{found.source} has {count} edges, and holding out {sum(wanted)} leaves none to train on; lower "
            "data.test and data.valid"
        )
    random = np.random.default_rng(settings.seed)
    order = random.permutation(count)
    off = _unjoined(found.edges, n, sum(wanted), random, found.source)
    test, valid = order[: wanted[0]], order[wanted[0] : sum(wanted)]
    held = [_tensor(found.edges[test]), _tensor(found.edges[valid])]
    not_joined = [_tensor(off[: wanted[0]]), _tensor(off[wanted[0] :])]
    seen = _tensor(found.edges[np.sort(order[sum(wanted) :])])
    labels = None if found.labels is None else _tensor(found.labels)
    asked = [torch.cat(pair) for pair in zip(held, not_joined)]
    answers = [torch.arange(2 * w) < w for w in wanted]
    scored = _tensor(found.edges[np.sort(order[wanted[0] :])])
    size = _tensor(found.sizes)
    return [
        Graphs(size, seen, seen, torch.cat(asked) if settings.held_out == "hidden" else None, labels=labels),
        Graphs(size, scored, seen, asked[0], labels=labels, asked=asked[1], answers=answers[1]),
        Graphs(size, _tensor(found.edges), seen, labels=labels, asked=asked[0], answers=answers[0]),
    ]


def _unjoined(edges: np.ndarray, n: int, count: int, random: np.random.Generator, source: str) -> np.ndarray:
    """Return `count` different pairs i < j that are not joined, each as likely as any other."""
    if n * (n - 1) // 2 - len(edges) < count:
        raise UserError(f"{source} has too few pairs that are not joined to hold out {count}; lower data.test")
    joined = set((edges[:, 0] * n + edges[:, 1]).tolist())
    found: list[int] = []
    while len(found) < count:
        for i, j in np.sort(random.integers(0, n, (2 * count + 16, 2)), 1).tolist():
            key = i * n + j
            if i != j and key not in joined and len(found) < count:
                joined.add(key)
                found.append(key)
    return np.stack(np.divmod(np.array(found, np.int64), n), 1).reshape(-1, 2)


def _density(x: Graphs) -> float:
    """Return the share of observed pairs that are joined."""
    pairs = int((x.sizes * (x.sizes - 1) // 2).sum()) - (0 if x.hidden is None else len(x.hidden))
    return len(x.edges) / max(pairs, 1)


# -- features -------------------------------------------------------------------------------------------------------


def _kind(found: Found, wanted: str, links: bool) -> str:
    given = found.features is not None or found.sparse is not None
    if wanted == "auto":
        return "given" if given else "indicator" if links else "spectral"
    if wanted == "given" and not given:
        raise UserError(f"{found.source}: nodes have no features; leave data.features out")
    if wanted == "indicator" and not links:
        raise UserError("data.features=indicator tells the nodes of one graph apart; for several use spectral")
    return wanted


def _width(found: Found, kind: str, spectral: int) -> int:
    if kind == "indicator":
        return int(found.sizes[0])
    if kind == "spectral":
        return spectral + 2
    if found.sparse is not None:
        return found.sparse[3]
    assert found.features is not None
    return found.features.shape[1]


def _with_features(x: Graphs, found: Found, kind: str, spectral_width: int) -> Graphs:
    from dataclasses import replace

    import torch

    if kind == "indicator":
        return x
    if kind == "spectral":
        return replace(x, features=spectral(x, spectral_width))
    if found.sparse is not None:
        rows, columns, values, width = found.sparse
        index = torch.stack([_tensor(rows), _tensor(columns)])
        shape = (int(found.sizes.sum()), width)
        made = torch.sparse_coo_tensor(index, torch.from_numpy(values), shape, check_invariants=False)
        return replace(x, features=made.coalesce())
    return replace(x, features=torch.from_numpy(found.features))


def spectral(x: Graphs, width: int) -> Tensor:
    """Return, for each node (N, width + 2): its graph's leading eigenvectors there, log(1 + degree), log(nodes) / 4.

    They are those of D^-½ (A + I) D^-½ over the edges seen, by falling eigenvalue, times √n, zero beyond n. A vector's
    sign makes the sum of its cubes positive. They follow the nodes whatever their order, except where eigenvalues
    coincide: there any basis is as good.
    """
    import torch

    seen = x.edges if x.seen is None else x.seen
    largest = int(x.sizes.max())
    if largest > LARGEST_DENSE:
        raise UserError(
            f"spectral features are for graphs of up to {LARGEST_DENSE:,} nodes, and one has {largest:,}; give features"
        )
    out = np.zeros((x.nodes, width + 2), np.float32)
    graph, i, j = (part.numpy() for part in x.local(seen))
    starts = x.starts.tolist()
    for g, n in enumerate(x.sizes.tolist()):
        a = np.eye(n)
        rows = graph == g
        a[i[rows], j[rows]] = a[j[rows], i[rows]] = 1
        degree = a.sum(1)
        vectors = np.linalg.eigh(a / np.sqrt(np.outer(degree, degree)))[1][:, ::-1][:, :width] * math.sqrt(n)
        vectors = vectors * np.where((vectors**3).sum(0) < 0, -1, 1)
        part = out[starts[g] : starts[g] + n]
        part[:, : vectors.shape[1]] = vectors
        part[:, width] = np.log(degree)
        part[:, width + 1] = math.log(n) / 4
    return torch.from_numpy(out)


MODALITIES.register("graphs", summary="undirected graphs: one with links held out, or many")(GraphData())
