"""Bias and variance of gradients of discrete latents, against the exact gradient of a model that can be enumerated.

    python bench/discrete_gradients.py [--draws N] [--seeds 0 1 2] [--steps N]

A VAE with eight bits as latents (256 codes) is trained on the binarised digits, by REINFORCE; then, for one batch of 20
digits, the encoder's gradient of the ELBO is computed exactly, every code summed out, and drawn N times by each
estimator. Every draw costs as many decoder passes, six an example: fewer samples where an estimator takes several.

Bias is ‖E g - g*‖ / ‖g*‖, estimated without the draws' own noise; variance tr Cov g / ‖g*‖². Mean and standard
deviation over training seeds.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import vaekit
from vaekit.models.vae import VAE
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.objectives.importance import ImportanceWeighted
from vaekit.objectives.scores import Rebar, Reinforce
from vaekit.schedules import Schedule
from vaekit.trace import Latent, Trace

PASSES, EXAMPLES, LATENT = 6, 20, 8


class NoBaseline(Reinforce):
    """REINFORCE by itself."""

    def forward(self, trace: Trace) -> Tensor:
        """Return -E_q[log p(x|z)]."""
        f = trace.log_px
        return -(f + f.detach() * trace.latents["z"].log_q_code).mean(0)


def gradient(model: VAE, value: Tensor) -> Tensor:
    """Return the encoder's gradient, flat."""
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.posterior.parameters()))])


def exact(model: VAE, x: Tensor) -> Tensor:
    """Return the encoder's gradient of the mean negative ELBO, every code summed out."""
    z = torch.tensor(list(itertools.product((0.0, 1.0), repeat=LATENT)))[:, None].expand(-1, len(x), -1)
    trace = Trace(x, None, {"z": Latent(model.encode(x), model.prior_of(), z, z)}, model.decode(z))
    return gradient(model, -(trace.latents["z"].log_q_code.exp() * trace.log_w).sum(0).mean())


def estimators(model: VAE) -> dict[str, tuple[Objective, Callable[..., Trace], int, float | None, bool]]:
    """Return by name an objective, what traces for it, its samples, the relaxation's temperature, straight-through."""
    hard, coupled = model.trace_hard, model.trace_coupled
    relaxed = {
        f"{name}, τ = {t:g}": (Objective(Reconstruction(), Rate()), model.trace, PASSES, t, through)
        for name, through in (("Gumbel", False), ("straight-through Gumbel", True))
        for t in (1.0, 0.5, 0.1)
    }
    rebar = {f"REBAR, η = 1, τ = {t:g}": (Objective(Rebar(2), Rate()), coupled, 2, t, False) for t in (1.0, 0.5, 0.1)}
    return {
        **relaxed,
        "REINFORCE": (Objective(NoBaseline(PASSES), Rate()), hard, PASSES, None, False),
        "REINFORCE, leave-one-out": (Objective(Reinforce(PASSES), Rate()), hard, PASSES, None, False),
        **rebar,
        "VIMCO (of the bound of 6)": (Objective(ImportanceWeighted(6, gradient="vimco")), hard, PASSES, None, False),
    }


def measured(seed: int, steps: int, draws: int) -> dict[str, tuple[float | None, float]]:
    """Return each estimator's bias (none of another bound) and variance, of a model trained with this seed."""
    sets = [f"model.latent={LATENT}", f"objective.k={PASSES}"]
    run = vaekit.train("reinforce", "digits", seed=seed, steps=steps, set=sets, pictures=False)
    model: Any = run.model.cpu().train()
    x = run.test.x[:EXAMPLES].float()
    target, found = exact(model, x), {}
    for name, (objective, trace, k, temperature, through) in estimators(model).items():
        model.posterior.straight_through = through
        if temperature is not None:
            model.posterior.temperature.schedule = Schedule.parse(temperature)
            model.posterior.temperature.value.fill_(temperature)
        torch.manual_seed(seed)
        total: Callable[[Trace], Tensor] = lambda t, o=objective: o(t)["model"].total  # noqa: E731
        g = torch.stack([gradient(model, total(trace(x, k=k))) for _ in range(draws)])
        variance = float(g.var(0).sum())
        bias = max(0.0, float((g.mean(0) - target).square().sum()) - variance / draws)
        scale = float(target.square().sum())
        found[name] = (None if "bound" in name else math.sqrt(bias / scale), variance / scale)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=300)
    given = parser.parse_args()
    runs = [measured(seed, given.steps, given.draws) for seed in given.seeds]
    print("| estimator | bias | variance |\n|---|---|---|")
    for name in runs[0]:
        cells = []
        for column in zip(*(run[name] for run in runs)):
            some = [value for value in column if value is not None]
            cells.append(f"{statistics.mean(some):.2g} ± {statistics.stdev(some):.1g}" if len(some) > 1 else str(*some))
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
