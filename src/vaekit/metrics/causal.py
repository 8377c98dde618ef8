"""Interventions against the renderer that made the data, and the graph against the one that is true."""

from __future__ import annotations

import numpy as np
import torch

from vaekit.data.scenes import SCENES
from vaekit.metrics.base import Result, Subject, mean_of, metric, refused
from vaekit.models.base import Model, point

LIMIT = 500
GIVES: dict[str, tuple[str, bool | None]] = {
    "intervention_error": ("squared error a pixel of pictures had a factor been set, against the renderer", False),
    "graph_distance": ("edges of the learned graph that are added, missing or turned round", False),
}


@metric(
    "interventions",
    group="causes",
    gives=GIVES,
    needs=("scene",),
    reference="Yang et al. 2021, arXiv:2004.08697; Tsamardinos et al. 2006, Mach. Learn. 65 (the distance)",
)
def interventions(subject: Subject) -> dict[str, Result]:
    """Each factor set to another example's value: the model's picture against the renderer's, and the graph's distance.

    Beside it `unmoved` is the error of leaving the picture as it was.
    """
    scene, model = SCENES[subject.info.facts["scene"]], subject.model
    rows = subject.some_rows(LIMIT)
    x, y = subject.x[rows].float(), None if subject.y is None else subject.y[rows]
    assert subject.factors is not None
    factors = subject.factors[rows].double().numpy()
    other = np.random.default_rng(0).permutation(factors)
    before = torch.from_numpy(scene.draw(factors)).float().unsqueeze(1) / 255
    errors, still = list[torch.Tensor](), list[torch.Tensor]()
    offers = model.offers(Model.intervene)
    for i, name in enumerate(scene.names):
        truth = torch.from_numpy(scene.draw(scene.intervened(factors, name, other[:, i]))).float().unsqueeze(1) / 255
        still.append((before - truth).square().flatten(1).mean(1))
        if offers:
            facts = subject.info.condition[i]
            value = torch.from_numpy((other[:, i] - facts["mean"]) / facts["sd"]).float()
            device = next(model.parameters()).device
            label = None if y is None else y.to(device)
            made = subject.show(point(model.intervene(x.to(device), {i: value.to(device)}, label)).cpu())
            errors.append((made - truth).square().flatten(1).mean(1))
    out: dict[str, Result] = {}
    if offers:
        facts = {f"of_{name}": float(each.mean()) for name, each in zip(scene.names, errors)}
        facts["unmoved"] = float(torch.stack(still).mean())
        out["intervention_error"] = mean_of(torch.stack(errors).mean(0), "squared grey a pixel", **facts)
    else:
        out["intervention_error"] = refused("the model has no concepts to set", "squared grey a pixel")
    if model.offers(Model.concept_graph):
        found = model.concept_graph().cpu().numpy()
        edges = [f"{a} → {b}" for a, row in zip(scene.names, found) for b, is_one in zip(scene.names, row) if is_one]
        out["graph_distance"] = Result(float(distance(found, scene.graph)), "edges", 1, facts={"edges": edges})
    else:
        out["graph_distance"] = refused("the model has no graph of concepts", "edges")
    return out


def distance(a: np.ndarray, b: np.ndarray) -> int:
    """Return the structural Hamming distance of two graphs (n, n): pairs of nodes whose edge differs.

    >>> distance(np.array([[False, True], [False, False]]), np.array([[False, False], [True, False]]))
    1
    """
    differs = a != b
    return int(np.triu(differs | differs.T, 1).sum())
