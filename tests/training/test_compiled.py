"""Compiled networks: the same run to rounding, and a clear word where there is nothing to compile with."""

from __future__ import annotations

import shutil

import pytest
import torch

from training.toys import ToySource, toy_vae
from vaekit.errors import UserError
from vaekit.objectives.elbo import negative_elbo
from vaekit.training import compiled
from vaekit.training.compiled import Compiled, networks, require_compiler
from vaekit.training.loop import fit
from vaekit.training.settings import TrainSettings
from vaekit.training.stages import Stage


def test_networks_are_the_outermost_ones() -> None:
    model = toy_vae()
    assert networks(model) == [model.posterior.net, model.likelihood.net]


@pytest.mark.parametrize(("device", "match"), [("cpu", "C\\+\\+ compiler"), ("cuda", "Triton")])
def test_without_a_compiler_it_says_so(device: str, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(compiled, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=match):
        require_compiler(torch.device(device))


def test_forms_are_in_place_within_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def stand_in(forward: object, mode: str | None) -> object:
        def form(*args: object, **more: object) -> object:
            calls.append(str(mode))
            return forward(*args, **more)  # type: ignore[operator]

        return form

    monkeypatch.setattr(torch, "compile", stand_in)
    monkeypatch.setattr(compiled, "require_compiler", lambda device: None)
    model = toy_vae()
    plain = model.state_dict().keys()
    for device, mode in (("cpu", "None"), ("cuda", "reduce-overhead")):
        forms = Compiled(model, torch.device(device))
        calls.clear()
        with pytest.raises(RuntimeError), forms.on():
            model.trace(torch.zeros(2, 12))
            assert calls == [mode, mode] and model.state_dict().keys() == plain
            raise RuntimeError
        model.trace(torch.zeros(2, 12))
        assert len(calls) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_run_is_the_same_to_rounding() -> None:
    try:
        require_compiler(torch.device("cpu"))
    except UserError as error:
        pytest.skip(str(error))

    def run(compile: bool) -> torch.Tensor:
        model = toy_vae()
        settings = TrainSettings(steps=12, batch_size=25, lr=1e-3, compile=compile, precision="fp32")
        fit(model, [Stage(negative_elbo())], ToySource(), settings)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    torch.testing.assert_close(run(True), run(False), atol=1e-5, rtol=1e-4)
