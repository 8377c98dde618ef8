"""Total correlation of a run's codes by a critic trained for the purpose, beside that of a finite mixture.

    python bench/total_correlation.py RUN [RUN ...]

A fresh network, the same for every run, learns to tell codes of the training images, z ~ q(z|x), from codes whose
dimensions are shuffled over the images. On codes of the *test* images its log-odds T give

    TC(q(z)) ≥ E_q(z)[T] - log E_Π q(z_d)[exp T]        (Donsker & Varadhan 1975),

a lower bound for the population's q(z) whatever the network has learned. The other column is the TC of the mixture of
N posteriors, as in the metric `kl_decomposition`: information of index and code cannot exceed log N there, and the
rest of a high rate is counted as correlation.
"""

from __future__ import annotations

import argparse

import torch
import torch.nn.functional as F
from torch import Tensor

import vaekit
from vaekit.data.dataset import Split
from vaekit.metrics.kl_decomposition import AggregatePosterior, decompose
from vaekit.nets.mlp import mlp
from vaekit.objectives.adversaries import logits, permute_dimensions
from vaekit.priors.normal import StandardNormal
from vaekit.runs.run import Run

STEPS, BATCH, RATE, SHUFFLES = 1200, 1024, 1e-3, 20


@torch.no_grad()
def posteriors(run: Run, split: Split, seed: int) -> tuple[Tensor, Tensor]:
    """Return means and log standard deviations of q(z|x), (N, D) each."""
    fixed = run.prepare.fixed(split, seed)
    parts = [run.model.encode(fixed.x[s : s + 5000].float()) for s in range(0, len(fixed), 5000)]
    return torch.cat([q.mean for q in parts]), torch.cat([q.stddev.log() for q in parts])


def fitted(loc: Tensor, log_scale: Tensor) -> torch.nn.Module:
    """Return a critic that tells codes from shuffled codes."""
    critic = mlp(loc.shape[1], 1, (256, 256), act="silu")
    adam = torch.optim.Adam(critic.parameters(), RATE)

    def codes() -> Tensor:
        rows = torch.randint(len(loc), (BATCH,))
        return loc[rows] + log_scale[rows].exp() * torch.randn(BATCH, loc.shape[1])

    for step in range(STEPS):
        adam.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        loss = (
            F.softplus(-logits(critic, codes())).mean() + F.softplus(logits(critic, permute_dimensions(codes()))).mean()
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
    return critic


@torch.no_grad()
def bound(critic: torch.nn.Module, loc: Tensor, log_scale: Tensor) -> tuple[float, float]:
    """Return the lower bound on TC from codes the critic has not seen, and its standard error."""

    def codes() -> Tensor:
        return loc + log_scale.exp() * torch.randn_like(loc)

    joint = logits(critic, codes()).double()
    odds = logits(critic, torch.cat([permute_dimensions(codes()) for _ in range(SHUFFLES)])).double().exp()
    error = joint.var() / len(joint) + odds.var() / (odds.mean().square() * len(odds))
    return float(joint.mean() - odds.mean().log()), float(error.sqrt())


def main() -> None:
    """Print a line for every run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders of runs with one diagonal normal latent")
    for path in parser.parse_args().runs:
        torch.manual_seed(0)
        run = vaekit.load(path)
        train, test = posteriors(run, run.data.train, 5), posteriors(run, run.data.test, 6)
        loc, log_scale = (torch.cat(pair).double() for pair in zip(train, test))
        pieces = decompose(AggregatePosterior(loc, log_scale), StandardNormal(loc.shape[1]).double()(), samples=600)
        tc, error = bound(fitted(*train), *test)
        mixture = pieces.total_correlation
        print(
            f"{path}: TC at least {tc:.3f} ± {error:.3f} nats by a fresh critic; mixture of {len(loc):,}: "
            f"{mixture.mean():.2f} ± {mixture.std() / len(mixture) ** 0.5:.2f}, information "
            f"{pieces.index_code.mean():.2f}"
        )


if __name__ == "__main__":
    main()
