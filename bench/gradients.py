"""Bias and variance of gradients: of discrete latents by several estimators, and of a hierarchy's bound by paths.

    python bench/gradients.py [--draws N] [--seeds 0 1 2] [--steps N]        discrete latents
    python bench/gradients.py --hierarchy [--seeds 0 1 2] [--steps N]        DReG and GDReG

Discrete: a VAE with eight bits as latents (256 codes) is trained on the binarised digits by REINFORCE; then, for one
batch of 20 digits, the encoder's gradient of the ELBO is computed exactly, every code summed out, and drawn N times by
each estimator. Every draw costs as many decoder passes, six an example: fewer samples where an estimator takes several.
Bias is ‖E g - g*‖ / ‖g*‖, estimated without the draws' own noise; variance tr Cov g / ‖g*‖². VIMCO's gradient is of
another bound, whose bias is not looked at here (tests/objectives/test_scores.py sums it out).

Hierarchy: a `hierarchical-vae` is trained on the bound of 8 samples; tr Cov of its gradients on 20 digits.

Mean and standard deviation over training seeds.
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
from vaekit.objectives.importance import ImportanceWeighted, PathGradient
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


def measured(seed: int, steps: int, draws: int) -> dict[str, tuple[float | None, ...]]:
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


def of_hierarchy(seed: int, steps: int, draws: int) -> dict[str, tuple[float | None, ...]]:
    """Return the variance of the gradients of encoder and priors, by estimator and K, of a hierarchy of this seed."""
    sets = ["objective.bound=importance", "objective.k=8"]
    run = vaekit.train("hierarchical-vae", "digits", seed=seed, steps=steps, set=sets, pictures=False)
    model: Any = run.model.cpu().train()
    x, found = run.test.x[:EXAMPLES].float(), {}
    parts = [list(model.posteriors.parameters()), list(model.priors.parameters())]
    kinds: tuple[PathGradient, ...] = ("plain", "stl", "dreg", "gdreg")
    for kind, k in itertools.product(kinds, (8, 64)):
        torch.manual_seed(seed)
        drawn: list[list[Tensor]] = [[], []]
        for _ in range(draws):
            loss = ImportanceWeighted(k, gradient=kind)(model.trace(x, k=k)).mean()
            slopes = iter(torch.autograd.grad(loss, parts[0] + parts[1]))
            for out, own in zip(drawn, parts):
                out.append(torch.cat([next(slopes).flatten() for _ in own]))
        found[f"{kind}, K = {k}"] = tuple(float(torch.stack(out).var(0).sum()) for out in drawn)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--hierarchy", action="store_true", help="path gradients of a hierarchy")
    given = parser.parse_args()
    measure = of_hierarchy if given.hierarchy else measured
    runs = [measure(seed, given.steps, given.draws) for seed in given.seeds]
    columns = "variance of q's gradient | of the priors'" if given.hierarchy else "bias | variance"
    print(f"| estimator | {columns} |\n|---|---|---|")
    for name in runs[0]:
        cells = []
        for column in zip(*(run[name] for run in runs)):
            some = [value for value in column if value is not None]
            cells.append(f"{statistics.mean(some):.3g} ± {statistics.stdev(some):.2g}" if len(some) > 1 else str(*some))
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
