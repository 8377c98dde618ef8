"""Interventions against the renderer: a model that knows it, one that moves nothing, graphs at known distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from vaekit.data.info import DataInfo
from vaekit.data.scenes import SCENES, Scene
from vaekit.metrics.base import METRICS, Subject
from vaekit.metrics.causal import distance
from vaekit.models.base import Model

N, MEAN, SD = 40, 0.3, 0.7
"""Examples, and by what factors are standardised: no choice of them may matter."""


class Knows(Model):
    """Draws what it is told by the renderer itself; `moved` is whether effects follow what is set."""

    def __init__(self, scene: Scene, factors: np.ndarray, moved: bool = True) -> None:
        super().__init__()
        self.scene, self.factors, self.moved, self.edges = scene, factors, moved, torch.from_numpy(scene.graph)
        self.anchor = nn.Parameter(torch.zeros(1))

    def intervene(self, x: Any, values: Mapping[int, Tensor], y: Tensor | None = None) -> Any:
        [(number, value)] = values.items()
        name, numbers = self.scene.names[number], value.numpy() * SD + MEAN
        after = self.scene.intervened(self.factors, name, numbers) if self.moved else self.factors.copy()
        after[:, number] = numbers
        return Normal(torch.from_numpy(self.scene.draw(after)).float().unsqueeze(1) / 255, 1.0)

    def concept_graph(self) -> Tensor:
        return self.edges


class Still(Knows):
    """Shows the picture as it was."""

    def intervene(self, x: Any, values: Mapping[int, Tensor], y: Tensor | None = None) -> Any:
        return Normal(x, 1.0)


def subject(kind: type[Knows], name: str = "shadows", **options: Any) -> Subject:
    scene = SCENES[name]
    factors = scene.sample(N, seed=3)
    x = torch.from_numpy(scene.draw(factors)).float().unsqueeze(1) / 255
    condition = tuple({"name": one, "mean": MEAN, "sd": SD} for one in scene.names)
    info = DataInfo("toy", (1, 32, 32), "unit", None, 0, 0, N, condition=condition, facts={"scene": name})
    return Subject(kind(scene, factors, **options), info, x, factors=torch.from_numpy(factors))


def measured(subject: Subject) -> dict[str, Any]:
    return dict(METRICS["interventions"].part(subject))


@pytest.mark.parametrize("name", SCENES)
def test_the_renderer_itself_errs_by_nothing(name: str) -> None:
    found = measured(subject(Knows, name))
    # values pass through float32, and a grey level may round the other way at an edge
    assert found["intervention_error"].value < 1e-6
    assert found["graph_distance"].value == 0
    assert len(found["graph_distance"].facts["edges"]) == SCENES[name].graph.sum()


def test_a_picture_that_does_not_move_errs_by_what_is_said_beside_it() -> None:
    found = measured(subject(Still))["intervention_error"]
    each = [found.facts[f"of_{name}"] for name in SCENES["shadows"].names]
    assert found.value == pytest.approx(found.facts["unmoved"], rel=1e-6) == pytest.approx(np.mean(each), rel=1e-6)
    assert 0.001 < found.value < 0.1 and found.stderr > 0 and found.n == N


def test_effects_that_do_not_follow_are_an_error_of_causes_alone() -> None:
    found = measured(subject(Knows, moved=False))["intervention_error"]
    of = {name: found.facts[f"of_{name}"] for name in SCENES["shadows"].names}
    assert of["light"] > 0.001 and of["pole"] > 0.001  # their shadows stayed where they were
    assert of["shadow"] < 1e-6 and of["length"] < 1e-6  # these cause nothing


def test_a_graph_is_as_far_as_it_has_edges_added_missing_or_turned() -> None:
    one = subject(Knows)
    edges = one.model.concept_graph()
    edges[0, 2] = False  # light → shadow is missing
    edges[1, 2], edges[2, 1] = False, True  # pole → shadow is turned round
    edges[2, 3] = True  # shadow → length is added
    assert measured(one)["graph_distance"].value == 3 == distance(edges.numpy(), SCENES["shadows"].graph)
