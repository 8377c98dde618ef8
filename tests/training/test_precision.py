"""Which precision `auto` comes to, and that bf16 stays inside networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from training.toys import D, ToySource, toy_data, toy_vae
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.vae import VAE
from vaekit.nets.base import NARROW
from vaekit.nets.conv import ConvDecoder, ConvEncoder
from vaekit.nets.mlp import MLP, mlp
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Rate, Reconstruction, negative_elbo
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.training import precision
from vaekit.training.loop import Fit, fit
from vaekit.training.precision import Evidence, arithmetic, settle
from vaekit.training.settings import TrainSettings
from vaekit.training.stages import Stage

really_has_bf16 = precision.hardware_has_bf16  # before tests/conftest.py answers for it
CPU = torch.device("cpu")
GOOD = Evidence(difference=-0.01, stderr=0.02, seeds=5, name="mlp", source="a test")


@pytest.mark.parametrize(
    ("evidence", "hardware", "expected"),
    [
        (GOOD, True, "bf16"),
        (GOOD, False, "fp32"),
        (replace(GOOD, difference=-0.05), True, "fp32"),  # 2.5 standard errors worse
        (replace(GOOD, difference=0.5), True, "bf16"),
        (replace(GOOD, seeds=4), True, "fp32"),
        (replace(GOOD, name="conv"), True, "fp32"),
        (None, True, "fp32"),
    ],
)
def test_auto_wants_hardware_and_evidence(
    evidence: Evidence | None, hardware: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "EVIDENCE", () if evidence is None else (evidence,))
    monkeypatch.setattr(precision, "hardware_has_bf16", lambda device: hardware)
    assert settle("auto", CPU, toy_vae(), [negative_elbo()]) == expected
    assert settle("bf16", CPU, toy_vae(), [negative_elbo()]) == "bf16"
    assert settle("fp32", CPU, toy_vae(), [negative_elbo()]) == "fp32"


def test_the_hardware_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, expected in (({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert really_has_bf16(CPU) is expected
    assert not really_has_bf16(torch.device("mps"))


def test_evidence_speaks_for_its_own_family_alone() -> None:
    class Other(Rate):
        name = "other"

    model = toy_vae()
    assert GOOD.covers(model, [negative_elbo(beta=4.0, free_bits=0.1)])
    assert not GOOD.covers(model, [Objective(Reconstruction(), Other())])
    model.likelihood = Gaussian(mlp(3, D))
    assert not GOOD.covers(model, [negative_elbo()])

    class Derived(VAE):
        pass

    plain = toy_vae()
    derived = Derived(plain.posterior, plain.prior, plain.likelihood)
    assert GOOD.covers(plain, [negative_elbo()]) and not GOOD.covers(derived, [negative_elbo()])


def test_the_shipped_evidence_is_for_two_kinds_of_network_and_not_for_a_mixture_of_them() -> None:
    mlps, convs = (
        (mlp(64, 3, (8,)), mlp(3, (1, 8, 8), (8,))),
        (ConvEncoder((1, 8, 8), (3,)), ConvDecoder((3,), (1, 8, 8))),
    )
    for encoder, names in ((mlps[0], ["mlp"]), (convs[0], ["conv"])):
        for decoder in (mlps[1], convs[1]):
            model = VAE(DiagonalNormal(encoder), StandardNormal(3), Bernoulli(decoder))
            covering = [e.name for e in precision.EVIDENCE if e.covers(model, [negative_elbo()])]
            assert covering == (names if isinstance(decoder, MLP) == isinstance(encoder, MLP) else [])


def test_the_evidence_shipped_is_what_the_benchmark_measured() -> None:
    import json
    from pathlib import Path

    for evidence in precision.EVIDENCE:
        found = json.loads((Path(__file__).parents[2] / evidence.source).read_text())
        summary = found["summary"]
        assert len(summary["seeds"]) == evidence.seeds >= 5 and found["what"]["epochs"] >= 20
        assert evidence.difference == pytest.approx(summary["mean"], abs=6e-4)
        assert evidence.stderr == pytest.approx(summary["stderr"], abs=6e-4)


WIDE = (NARROW + 1, NARROW + 2)


def test_half_precision_stays_inside_networks() -> None:
    model, objective = toy_vae(hidden=WIDE), negative_elbo()
    x = toy_data(64)
    with torch.autocast("cpu", torch.bfloat16):
        inner = model.posterior.net.features(x, None)  # type: ignore[union-attr]
        trace = model.trace(x)
    assert inner.dtype == torch.bfloat16
    q = trace.latents["z"].q
    assert {q.mean.dtype, trace.latents["z"].z.dtype, trace.log_px.dtype, trace.kl["z"].dtype} == {torch.float32}
    torch.manual_seed(0)
    full = objective(model.trace(x))["model"].total
    assert float(full.detach()) == pytest.approx(float(objective(trace)["model"].total.detach()), abs=0.2)


def test_codes_keep_all_their_digits() -> None:
    x = toy_data(64)
    with torch.autocast("cpu", torch.bfloat16):
        mean = toy_vae(hidden=WIDE).encode(x).mean
    assert float((mean != mean.bfloat16()).float().mean()) > 0.9  # a layer in bf16 gives values of 8 bits
    # With no layer between the narrow ones, nothing at all is rounded.
    for model in (toy_vae(hidden=NARROW), toy_vae(hidden=(NARROW, 2 * NARROW))):
        torch.manual_seed(0)
        full = model.trace(x).log_px
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16):
            half = model.trace(x)
        assert torch.equal(full, half.log_px)


def test_bf16_trains_as_float32_does_and_resumes_to_the_bit(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(kind: str, folder: Any = None, resume: bool = False) -> tuple[torch.Tensor, float]:
        model = toy_vae(hidden=WIDE)
        settings = TrainSettings(  # bits are the CPU's
            steps=60,
            batch_size=20,
            precision=kind,  # type: ignore[arg-type]
            checkpoint_steps=7,
            device="cpu",
        )
        found = fit(model, [Stage(negative_elbo())], ToySource(), settings, folder=folder, resume=resume)
        elbo = found.held_out.elbo
        assert elbo is not None
        return torch.cat([p.detach().flatten() for p in model.parameters()]), elbo

    whole, elbo = run("bf16")
    plain, other = run("fp32")
    assert not torch.equal(whole, plain) and elbo == pytest.approx(other, abs=0.3)
    step = Fit._step

    def cut(self: Fit, x: Any, y: Any) -> None:
        if self.at.step == 33:
            raise KeyboardInterrupt
        step(self, x, y)

    tmp_path.mkdir(exist_ok=True)
    monkeypatch.setattr(Fit, "_step", cut)
    with pytest.raises(KeyboardInterrupt):
        run("bf16", tmp_path)
    monkeypatch.setattr(Fit, "_step", step)
    assert torch.equal(run("bf16", tmp_path, resume=True)[0], whole)


def test_tf32_is_cudas_and_is_put_back() -> None:
    with pytest.raises(UserError, match="tf32 is CUDA's"):
        settle("tf32", CPU, toy_vae(), [])
    assert settle("tf32", torch.device("cuda"), toy_vae(), []) == "tf32"
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with arithmetic("tf32"):
        assert torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32
    with arithmetic("fp32"):
        assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
