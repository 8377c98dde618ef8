"""Latents that follow the factors of pictures, and independent latents."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from vaekit.data.dataset import Split
from vaekit.nets.mlp import mlp
from vaekit.objectives.adversaries import logits, permute_dimensions
from vaekit.published.base import OURS, Attempt, Budget, Figure, Measured, published
from vaekit.published.by_study import by_study
from vaekit.runs.run import Run
from vaekit.runs.train import train

KNOWN = {
    "VAE": {"FactorVAE score": (0.63, 0.06), "MIG": (0.10, None), "DCI": (0.30, 0.10)},
    "β-VAE": {"FactorVAE score": (0.63, 0.10), "MIG": (0.21, None), "DCI": (0.41, 0.11)},
    "FactorVAE": {"FactorVAE score": (0.82, 0.01), "MIG": (0.43, 0.01), "DCI": (0.74, 0.01)},
    "β-TCVAE": {"FactorVAE score": (0.62, 0.07), "MIG": (0.45, None), "DCI": (0.29, 0.01)},
}
published(
    "sprites",
    title="disentanglement of sprites: VAE, β-VAE, FactorVAE, β-TCVAE",
    source="figures on dSprites, as later papers quote them; Kim & Mnih 2018, arXiv:1802.05983; Chen et al. 2018, "
    "arXiv:1802.04942",
    protocol="dSprites, 64 × 64 binary pictures with five factors; convolutional networks, ten latents, batches of 64, "
    "300,000 steps. Of the weights (β, γ) the figures' sources say little.",
    data="sprites",
    unit="of 1",
    rows={
        f"{arm}, {word}": Figure(mean, "S", spread)
        for arm, row in KNOWN.items()
        for word, (mean, spread) in row.items()
    },
    tolerance=0.1,
    lower=False,
    budgets={
        "smoke": Budget(
            {"settings": {"train.steps": 200, "data.limit": 5000}, "limit": 2000},
            "200 steps on 5,000 of vaekit's own sprites, 2,000 test pictures",
        ),
        "hour": Budget(
            {"settings": {"train.steps": 6000}, "limit": 5000}, "6,000 steps on vaekit's own sprites, one seed"
        ),
        "full": Budget(
            {"settings": {"train.steps": 300_000}, "limit": 5000, "seeds": [0, 1, 2]},
            "vaekit's own sprites, drawn as dSprites are, where --data does not name dsprites",
        ),
    },
)(
    by_study(
        {"factor_vae_score": "FactorVAE score", "mig": "MIG", "dci_disentanglement": "DCI"},
        settings={"model.latent": 10, "train.batch_size": 64, "train.lr": 5e-4},
        metrics=["factor_vae_score", "mig", "dci"],
        arms={
            "VAE": {"recipe": "vae"},
            "β-VAE": {"recipe": "beta-vae", "settings": {"objective.beta": 4.0}},
            "FactorVAE": {"recipe": "factor-vae"},
            "β-TCVAE": {"recipe": "beta-tc-vae", "settings": {"objective.beta": 6.0}},
        },
    )
)

ARMS = {
    "β-VAE, β = 2": ("beta-vae", {"objective.beta": 2.0}),
    "FactorVAE": ("factor-vae", {}),
    "β-TCVAE, β = 4": ("beta-tc-vae", {"objective.beta": 4.0}),
}
STEPS, BATCH, RATE, SHUFFLES = 1200, 1024, 1e-3, 20


@torch.no_grad()
def posteriors(run: Run, split: Split, seed: int) -> tuple[Tensor, Tensor]:
    """Return means and log standard deviations of q(z|x), (N, D) each, on the CPU."""
    x = run.prepare.fixed(split, seed).x
    parts = [run.model.encode(part.float().to(run.device)) for part in x.split(5000)]
    return torch.cat([q.mean.cpu() for q in parts]), torch.cat([q.stddev.log().cpu() for q in parts])


def critic_of(loc: Tensor, log_scale: Tensor) -> torch.nn.Module:
    """Return a network that tells codes from codes whose dimensions are shuffled over the examples."""
    critic = mlp(loc.shape[1], 1, (256, 256), act="silu")
    adam = torch.optim.Adam(critic.parameters(), RATE)

    def codes() -> Tensor:
        rows = torch.randint(len(loc), (BATCH,))
        return loc[rows] + log_scale[rows].exp() * torch.randn(BATCH, loc.shape[1])

    for step in range(STEPS):
        adam.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        real, shuffled = logits(critic, codes()), logits(critic, permute_dimensions(codes()))
        adam.zero_grad()
        (F.softplus(-real).mean() + F.softplus(shuffled).mean()).backward()
        adam.step()
    return critic


@torch.no_grad()
def lower_bound(critic: torch.nn.Module, loc: Tensor, log_scale: Tensor) -> tuple[float, float]:
    """Return TC(q(z)) ≥ E_q(z)[T] - log E_Π q(z_d)[exp T], T the log-odds on unseen codes, and its standard error.

    Source: Donsker & Varadhan 1975.
    """

    def codes() -> Tensor:
        return loc + log_scale.exp() * torch.randn_like(loc)

    joint = logits(critic, codes()).double()
    odds = logits(critic, torch.cat([permute_dimensions(codes()) for _ in range(SHUFFLES)])).double().exp()
    error = joint.var() / len(joint) + odds.var() / (odds.mean().square() * len(odds))
    return float(joint.mean() - odds.mean().log()), float(error.sqrt())


@published(
    "total-correlation",
    title="total correlation of codes by a fresh critic, and of the mixture of posteriors",
    source="no published figures",
    protocol="MNIST binarised afresh at every visit, ten latents, hidden layers 256, ten epochs. A network, the same "
    "for every model, learns to tell codes of the training images from shuffled ones; on codes of the test images its "
    "log-odds bound TC(q(z)) from below. Beside it the TC of the mixture of all posteriors, whose information cannot "
    "exceed log N, and the distortion.",
    data="mnist",
    unit="nats/example",
    rows={f"{arm}, {word}": OURS for arm in ARMS for word in ("TC at least", "TC of the mixture", "distortion")},
    budgets={
        "smoke": Budget({"settings": {"train.epochs": 1}}, "one epoch"),
        "full": Budget({"settings": {"train.epochs": 10}, "seeds": [0, 1, 2]}),
    },
)
def total_correlation(at: Attempt) -> Iterator[tuple[str, Measured]]:
    """Train the models and their critics."""
    shared = {"model.latent": 10, "model.hidden": [256]} | at.terms["settings"]
    for arm, (recipe, own) in ARMS.items():
        found: dict[str, list[float]] = {"TC at least": [], "TC of the mixture": [], "distortion": []}
        errors: list[float] = []
        for seed in at.seeds:
            run = train(recipe, at.data, seed=seed, set=shared | own, device=at.device)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                seen, test = posteriors(run, run.data.train, 5), posteriors(run, run.data.test, 6)
                bound, error = lower_bound(critic_of(*seen), *test)
            given = run.evaluate(["elbo", "kl_decomposition"])
            found["TC at least"].append(bound)
            found["TC of the mixture"].append(float(given["total_correlation"].value or 0.0))
            found["distortion"].append(-float(given["log_px"].value or 0.0))
            errors.append(error)
        for word, values in found.items():
            yield f"{arm}, {word}", Measured(tuple(values), max(errors) if word == "TC at least" else None)
