"""Graphs as the explorer sees them: of one graph every node is an example, of many graphs each is one."""

from __future__ import annotations

import io
import json
import math
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from vaekit.distributions.base import is_point_mass
from vaekit.distributions.edges import EdgesFamily
from vaekit.errors import UserError, few
from vaekit.explorer.labels import Label
from vaekit.explorer.session import MOST_POINTS, LatentMap, Session
from vaekit.figures.graphs import circle, spring
from vaekit.latents.information import Information, unknown
from vaekit.latents.manifold import principal_plane
from vaekit.runs.base import RunBase

DRAWN = 4000
"""Edges of one graph that its map shows; of more, as many are taken evenly."""
PREDICTED = 100
"""Pairs that are no edge, the likeliest, that the map shows as predicted links."""
LISTED = 12
"""Nodes that a code's links are listed to."""
SPRUNG = 60
"""Nodes of a graph that is laid out by its edges; larger ones lie on a circle."""
STEPS = 80


def session_of(run: RunBase, points: int = MOST_POINTS) -> Session:
    """Return the session of a run: of its nodes where its data are one graph, of graphs where they are many."""
    if run.info.kind != "graph":
        return Session(run, points)
    return NodeSession(run, points) if run.info.facts["links"] else GraphSession(run, points)


class NodeSession(Session):
    """A run on one graph. An example is a node, held as its number (1,); a code is one node's latent (D,).

    A code is decoded as the nodes that it would be linked to with the highest probability. The encoder sees the
    training edges alone; the links listed of a node are all that the data have.
    """

    noun = "node"
    colour_names = ("degree",)
    scored = False

    def _probe(self) -> None:
        if not self.splits:
            raise UserError(f"the nodes of a graph are shown from the run's data, which were not found: {self.problem}")
        self.graph: Any = self.splits[0].x
        graph = self.graph.to(self.device)
        with self.drawn():
            trace = self.model.trace(cast(Tensor, graph))
            q = next(iter(trace.latents.values())).q
            self.z = graph.packed(q.mean).cpu()
            self.sd = None if is_point_mass(q) else graph.packed(q.stddev).cpu()
            self.ends = cast(EdgesFamily, self.model.decode(q.mean))
        self.refused = "the bound is one of the whole graph, not of a node"
        self.point_mass, self.one_hot, self.discrete, self.categories = self.sd is None, False, False, 0
        self.latent_shape = self.code_shape = tuple(self.z.shape[1:])
        self.size = self.z.shape[1]
        names = self.info.facts.get("names") or ()
        self.names = list(names) if len(names) == len(self.z) else [str(i) for i in range(len(self.z))]
        self._linking = threading.Lock()

    @property
    def count(self) -> int:
        """The number of nodes."""
        return min(len(self.z), self.points)

    @cached_property
    def _studied(self) -> Information:
        """KL and spread of each dimension over the nodes."""
        kl = None
        if self.sd is not None:
            kl = (0.5 * (self.z.square() + self.sd.square() - 1) - self.sd.log()).mean(0).tolist()
        sd = self.z.std(0, correction=0) if len(self.z) > 1 else torch.ones(self.size)
        return Information(kl, self.z.mean(0), sd, unknown(self.size).names)

    def _about(self) -> list[str]:
        """Return what is said of the latents; the bound of a whole graph says little of how well links are ranked."""
        first, *said = (text for text in super()._about() if "ELBO" not in text and "without" not in text)
        return [f"{len(self.names):,} nodes", f"{first} a node", *said]

    @cached_property
    def _neighbours(self) -> list[list[int]]:
        """The nodes that each node is linked to, ascending."""
        found: list[list[int]] = [[] for _ in self.names]
        for i, j in self.graph.edges.tolist():
            found[i].append(j)
            found[j].append(i)
        return [sorted(each) for each in found]

    @torch.no_grad()
    def _chances(self, z: Tensor) -> Tensor:
        """Return P(link) of codes z (M, D) with every node, (M, N)."""
        px = cast(EdgesFamily, self.model.decode(z[None].to(self.device)))
        return (px.u[0] @ self.ends.v[0].mT + self.ends.bias).sigmoid().cpu()

    def _line(self, pairs: Sequence[tuple[int, float]]) -> str:
        return ", ".join(f"{self.names[j]} ({p:.2f})" for j, p in pairs)

    def decode(self, z: Tensor, label: Label = None, but: int | None = None) -> np.ndarray:
        """Return the nodes other than `but` that codes are most probably linked to, with their p, a text each."""
        chance = self._chances(z)
        if but is not None:
            chance[:, but] = -1
        top = chance.topk(min(LISTED, len(self.names) - (but is not None)), -1)
        rows = zip(top.indices.tolist(), top.values.tolist())
        return np.array([self._line(list(zip(*row))) for row in rows], dtype=np.str_)

    def shown(self, x: Tensor) -> np.ndarray:
        """Return the links of nodes x (N,), a text each."""
        return np.array([self._links_of(i) for i in x.tolist()], dtype=np.str_)

    def _links_of(self, i: int) -> str:
        near = self._neighbours[i]
        return f"{self.names[i]}: {few([self.names[j] for j in near], 2 * LISTED) or 'no links'}"

    def random(self, label: Label, seed: int) -> list[float]:
        """Return a node's latent drawn from the prior; where there is none, from the Gaussian fitted to the codes."""
        with self.drawn(seed):
            noise = torch.randn(self.size)
        return (self._studied.mean + self._studied.sd * noise if self.point_mass else noise).tolist()

    def example(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Return the number of a node (1,); a UserError where there is none."""
        if not 0 <= index < self.count:
            raise UserError(f"there is no node {index}; they go from 0 to {self.count - 1}")
        return torch.tensor([index]), None

    def encode(self, index: int) -> dict[str, Any]:
        """Return a node's code, and its label, which no code is decoded with."""
        i = int(self.example(index)[0])
        return {"z": self.z[i].tolist(), "label": None if self.graph.labels is None else int(self.graph.labels[i])}

    @cached_property
    def _map(self) -> LatentMap:
        plane, z = principal_plane(self.z), self.z[: self.count]
        labels = None if self.graph.labels is None else self.graph.labels[: self.count].numpy()
        return LatentMap(plane.project(z).numpy().astype(np.float32), labels, plane, z)

    def coloured(self, name: str) -> np.ndarray:
        """Return the nodes' degrees."""
        return np.array([float(len(each)) for each in self._neighbours[: self.count]])

    def scores(self) -> dict[str, Any]:
        """Return that nodes have no scores."""
        return {"name": "", "n": 0, "counts": [], "edges": []}

    def infer(self, x: Tensor, label: Label) -> dict[str, Any]:
        """Return a node's posterior and its links, known and decoded; a node has no bound and no score."""
        i = int(x)
        return {
            "elbo": None,
            "terms": None,
            "refused": self.refused,
            "score": None,
            "score_name": "",
            "percentile": None,
            "z": self.z[i].tolist(),
            "sd": None if self.sd is None else self.sd[i].tolist(),
            "codes": {},
            "x": self.shown(x)[0],
            "recon": self.decode(self.z[i : i + 1], but=i)[0],
        }

    def npz(self, z: Tensor, label: Label, texts: np.ndarray | None = None) -> bytes:
        """Return an NPZ file of codes `z` and their probabilities `x` of a link with every node."""
        out = io.BytesIO()
        np.savez_compressed(out, z=z.numpy(), x=self._chances(z).numpy())
        return out.getvalue()

    # -- links ------------------------------------------------------------------------------------------------------

    def links(self) -> dict[str, Any]:
        """Return the edges that are drawn, how many there are, and the likeliest pairs that are none with their p."""
        with self._linking:
            return self._links

    @cached_property
    def _links(self) -> dict[str, Any]:
        edges = self.graph.edges[(self.graph.edges < self.count).all(1)]
        every = torch.linspace(0, len(edges) - 1, min(DRAWN, len(edges))).long()
        pairs, chance = self.ends.likeliest(PREDICTED, self.graph.edges.to(self.device))
        found = [(*pair, p) for pair, p in zip(pairs.tolist(), chance.tolist()) if max(pair) < self.count]
        return {
            "names": self.names[: self.count],
            "edges": edges[every].tolist(),
            "total": len(edges),
            "predicted": found,
        }

    def node(self, index: int) -> dict[str, Any]:
        """Return a node's links, and the likeliest nodes that it is not linked to, each as number and probability."""
        i = int(self.example(index)[0])
        chance = self._chances(self.z[i : i + 1])[0]
        near = self._neighbours[i]
        others = chance.clone()
        others[[i, *near]] = -1
        top = others[: self.count].topk(min(LISTED, self.count))
        return {
            "links": [[j, float(chance[j])] for j in near if j < self.count],
            "predicted": [[j, p] for j, p in zip(top.indices.tolist(), top.values.tolist()) if p >= 0],
        }


class GraphSession(Session):
    """A run on many graphs. A code is the latents of all nodes, (N, D) with N rows for the largest graph, flat.

    Rows of zeros at its end are no nodes. Which node is which differs from graph to graph, so there is no way between
    the codes of two of them.
    """

    noun = "graph"
    colour_names = ("nodes", "edges")

    def _probe(self) -> None:
        if not self.splits:
            raise UserError(f"graphs are shown from the run's data, which were not found: {self.problem}")
        super()._probe()
        self.latent_shape = self.code_shape = (self.info.shape[0], self.latent_shape[-1])
        self.size = math.prod(self.latent_shape)
        self.scorer.values = self._adjacency

    def _about(self) -> list[str]:
        rows, width = self.latent_shape
        said = [text for text in super()._about()[1:] if not text.endswith(" active")]
        return [f"{width} latents a node, up to {rows} nodes", *said]

    def _adjacency(self, x: Any) -> Tensor:
        """Return which pairs i < j are joined, (G, N, N): without a bound the score is how many pairs differ."""
        out = torch.zeros(len(x), *(2 * self.info.shape))
        graph, i, j = x.local(x.edges)
        out[graph, i, j] = 1
        return out

    @property
    def as_graphs(self) -> bool:
        """True."""
        return True

    @property
    def apart(self) -> str | None:
        """Why there is no way from one code to another."""
        return "The nodes of two graphs do not correspond"

    @cached_property
    def _studied(self) -> Information:
        """The spread of each number of a code over test graphs; a dimension of one node has no KL of its own."""
        split = self.splits[0].first(500)
        z = self._codes(split.x, None)
        sd = z.std(0, correction=0) if len(z) > 1 else torch.ones(self.size)
        rows, width = self.latent_shape
        return Information(None, z.mean(0), sd, [f"{i + 1}.{d + 1}" for i in range(rows) for d in range(width)])

    def group_name(self, name: str) -> str:
        """Return the node of a latent by its name: node 2 of 2.3."""
        return f"node {super().group_name(name)}"

    @torch.no_grad()
    def _codes(self, x: Any, y: Tensor | None) -> Tensor:
        z = self.model.posterior_mean(x.to(self.device)).cpu()
        return torch.nn.functional.pad(z, (0, 0, 0, self.latent_shape[0] - z.shape[1])).flatten(1)

    @torch.no_grad()
    def _decoded(self, z: Tensor) -> EdgesFamily:
        at = z.view(-1, *self.latent_shape).to(self.device)
        rows = torch.arange(1, at.shape[1] + 1, device=self.device)
        sizes = ((at != 0).any(-1) * rows).amax(1).clamp(min=1)
        decode: Any = self.model.decode
        return decode(at, sizes=sizes)

    def decode(self, z: Tensor, label: Label = None) -> np.ndarray:
        """Return codes decoded: the likeliest graphs, as the page draws them."""
        return self.shown(self._decoded(z).mode.to("cpu"))

    def shown(self, x: Any) -> np.ndarray:
        """Return graphs as JSON texts (N,): `at`, where each node is drawn, in [-1, 1], and `edges`, its numbers."""
        out = list[str]()
        for i, n in enumerate(x.sizes.tolist()):
            edges = x[i].edges.numpy()
            at = spring(n, edges, STEPS) if n <= SPRUNG else circle(n)
            out.append(json.dumps({"at": at.round(3).tolist(), "edges": edges.tolist()}))
        return np.array(out, dtype=np.str_)

    def random(self, label: Label, seed: int) -> list[float]:
        """Return a code of as many nodes as a training graph has, drawn from the prior, or from a Gaussian of codes."""
        sizes = self.info.facts["sizes"]
        rows, width = self.latent_shape
        with self.drawn(seed):
            chosen = torch.multinomial(torch.tensor([float(count) for _, count in sizes]), 1)
            n, noise = sizes[int(chosen)][0], torch.randn(rows, width)
        if self.point_mass:
            known = self._codes(self.splits[0].first(500).x, None).view(-1, width)
            known = known[(known != 0).any(1)]
            noise = known.mean(0) + known.std(0) * noise
        noise[n:] = 0
        return noise.flatten().tolist()

    def coloured(self, name: str) -> np.ndarray:
        """Return the graphs' numbers of nodes or edges."""
        self.latent_map()
        parts = list[np.ndarray]()
        for split in self.splits:
            x: Any = split.x
            of_edge = x.graph_of[x.edges[:, 0]]
            parts.append((x.sizes if name == "nodes" else torch.bincount(of_edge, minlength=len(x))).numpy())
        return np.concatenate(parts).astype(np.float64)

    def infer(self, x: Any, label: Label) -> dict[str, Any]:
        """Return a graph's posterior, reconstruction, bound and anomaly score."""
        found = super().infer(x, label)
        if not self.point_mass:
            with torch.no_grad():
                q = self.model.encode(x.to(self.device))
            sd = torch.zeros(self.latent_shape)
            sd[: int(x.sizes[0])] = q.stddev[0, : int(x.sizes[0])].cpu()
            found["sd"] = sd.flatten().tolist()
        return found

    def npz(self, z: Tensor, label: Label, texts: np.ndarray | None = None) -> bytes:
        """Return an NPZ file of codes `z` and the decoded graphs as `sizes` and `edges`, as vaekit reads graphs."""
        x, out = self._decoded(z).mode.to("cpu"), io.BytesIO()
        np.savez_compressed(out, z=z.numpy(), sizes=x.sizes.numpy(), edges=x.edges.numpy())
        return out.getvalue()
