"""What the tests run on one process and on two: each returns plain numbers and arrays to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import vaekit
from training.toys import LATENT, Critic, Judge, ToySource, toy_vae
from vaekit import distributed
from vaekit.errors import UserError
from vaekit.nets.mlp import MLP, BatchNorm
from vaekit.objectives.base import Objective, Term
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.training import loop, sharding
from vaekit.training.dtensor import local
from vaekit.training.gradient_sync import sum_gradients
from vaekit.training.log import read
from vaekit.training.settings import TrainSettings
from vaekit.training.stages import Stage

ROWS = 78
EPS = 1e-3
"""Adam's ε: with the usual one a gradient that is 0 but for rounding makes whole steps, as rounding happens to fall."""


def rows(n: int = ROWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images of four kinds (n, 1, 8, 8) uint8 with labels: a bar at one of four places, and noise."""
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 4
    x = draw.integers(0, 60, (n, 1, 8, 8))
    for i, label in enumerate(y):
        x[i, 0, 2 * label : 2 * label + 2] += 150
    return x.astype(np.uint8), y.astype(np.int64)


def train(recipe: str, settings: dict[str, Any], out: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """Train for some steps with every step logged, and return the curve, the weights and the result."""
    facts: dict[str, Any] = {
        "train.steps": 8,
        "train.batch_size": 11,
        "train.log_every": 1,
        "train.lr": 2e-3,
        "train.eps": EPS,
        "train.precision": "fp32",
        "data.valid": 17,
        "data.test": 11,
    }
    run = vaekit.train(recipe, rows(), out=out, set=facts | settings, pictures=False, **kwargs)
    weights = {name: value.numpy() for name, value in run.model.state_dict().items()}
    log = read(Path(out) / "log.jsonl") if out is not None and run.path is not None else []
    return {"weights": weights, "result": run.record["result"], "log": log, "kept": run.path is not None}


def draws(total: int) -> dict[str, Any]:
    """Draw in a shared batch and around it."""
    out: dict[str, Any] = {}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        for name, position in (("first", (5, 0)), ("second", (5, 1)), ("first again", (5, 0))):
            with distributed.sharing(total, *position):
                out[name] = torch.randn(4).tolist()
                with distributed.alike():
                    out[f"{name}, alike"] = torch.randn(4).tolist()
                with distributed.alike():
                    out[f"{name}, alike once more"] = torch.randn(4).tolist()
                out[f"{name}, after"] = torch.randn(4).tolist()
        out["outside"] = torch.randn(4).tolist()
    return out


def state() -> bytes:
    """Return the generator's state."""
    return bytes(torch.get_rng_state().tolist())


def batchwise(total: int) -> dict[str, Any]:
    """Compute a function of the whole batch from this process's rows, and its gradient for them."""
    x = torch.sin(torch.arange(total * 3.0)).view(total, 3)
    with distributed.sharing(total, 0):
        mine = distributed.deal(x).clone().requires_grad_()
        every = distributed.gather(mine)
        mean = distributed.mean_rows(mine)
        spread = distributed.all_sum((mine - mean).square().sum(0)) / distributed.total_rows(len(mine))
        each = torch.logsumexp(every @ mine.mT, 1)
        scalar = (spread * mean).sum() + distributed.logsumexp(each).square().mean() + distributed.mean(mine.exp())
        loss = distributed.share_of_mean(scalar) + distributed.share_of_mean(mine.pow(3).sum(1))
        (slope,) = torch.autograd.grad(loss, mine)
        torch.testing.assert_close(distributed.take(every), mine)
        flags = distributed.any_of(bool(mine[0, 0] > 0.5))
        some = distributed.some(mine.detach().repeat_interleave(2, 0), 4, 2)
    share = distributed.sums([loss.item()])[0]
    return {
        "loss": share,
        "every": every.detach().numpy(),
        "slope": slope.numpy(),
        "flags": flags,
        "some": some.numpy(),
    }


def moved() -> dict[str, Any]:
    """Return what the first process hands on: plain values, errors, tensors, texts; and rows of all."""
    mine = distributed.is_main()
    tensors = {
        "w": torch.arange(6.0).view(2, 3),
        "n": torch.tensor(7),
        "none": torch.zeros(0),
        "b": torch.ones(2).bool(),
    }

    def fails() -> None:
        raise UserError("only here")

    refused = ""
    try:
        distributed.from_main(fails)
    except UserError as error:
        refused = str(error)
    found = distributed.broadcast_tensors(tensors if mine else None)
    return {
        "refused": refused,
        "value": distributed.from_main(lambda: {"a": [1, None], "rank": distributed.rank()}),
        "tensors": {name: value.numpy() for name, value in found.items()},
        "text": distributed.first_text(None if mine else "from the second"),
        "silence": distributed.first_text(None),
        "rows": distributed.join_rows(torch.full((distributed.rank() + 1, 2), float(distributed.rank()))).numpy(),
    }


def evaluate(metrics: list[str]) -> dict[str, Any]:
    """Evaluate a small model with fixed weights."""
    run = vaekit.train(
        "vae",
        rows(260),
        set={"train.steps": 1, "train.precision": "fp32", "model.hidden": [8], "data.test": 230, "data.valid": 10},
    )
    return {name: result.to_dict() for name, result in run.evaluate(metrics, k=7).items()}


def own_network(of: str, batch: int) -> dict[str, Any]:
    """Fit a model whose encoder, or critic, normalises with torch's own layer; return every tensor and the loss."""
    model, terms, players = toy_vae(), list[Term]([Reconstruction(), Rate()]), {}
    if of == "encoder":
        assert isinstance(model.posterior.net, MLP)
        model.posterior.net.act = nn.Sequential(nn.BatchNorm1d(8), nn.ReLU())
    else:
        layers = nn.Linear(LATENT, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1)
        critic = nn.Sequential(nn.Flatten(0, 1), *layers, nn.Unflatten(0, (1, -1)))  # of one sample an example
        with torch.no_grad():
            for weight in critic.parameters():
                weight.copy_(torch.linspace(-1, 1, weight.numel()).view(weight.shape))
        terms += [Judge(critic), Critic(critic)]
        players["critic"] = critic
    objective = Objective(*terms, players=players)
    settings = TrainSettings(steps=6, batch_size=batch, precision="fp32", lr=1e-2, eps=EPS, device="cpu")
    result = loop.fit(model, [Stage(objective)], ToySource(), settings)
    tensors = {**model.state_dict(), **{f"objective.{name}": value for name, value in objective.state_dict().items()}}
    return {name: value.numpy() for name, value in tensors.items()} | {"loss": np.float64(result.held_out.loss)}


def part_of_weights() -> tuple[int, int]:
    """Return how many numbers of a sharded network this process holds, and how many there are."""
    model = toy_vae()
    sharding.shard(model, torch.device("cpu"))
    held = [local(p) for p in model.parameters()]
    return sum(p.numel() for p in held), sum(p.numel() for p in model.parameters())


def one_lacks_a_gradient() -> list[Any]:
    """Add gradients up where one process has none for the second weight, and nobody one for the third."""
    weights = [nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(1))]
    grads: list[Tensor | None] = [torch.ones(3, 2).mT, torch.full((2,), 2.0) if distributed.is_main() else None, None]
    summed, said = sum_gradients({"model": grads}, {"model": weights}, (not distributed.is_main(), False))
    assert said is not None
    out = [None if g is None else (g.numpy(), g.stride() == w.stride()) for g, w in zip(summed["model"], weights)]
    return [*out, said.tolist()]


@contextmanager
def stepping_so(step: Callable[[loop.Fit, Any, Tensor | None], None]) -> Iterator[None]:
    """Train with another step for the time of a block."""
    true = loop.Fit._step
    loop.Fit._step = step  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        loop.Fit._step = true


def train_until(step: int, *args: Any) -> None:
    """Train, and stop as if killed when `step` steps are done."""

    class Stopped(Exception):
        pass

    true = loop.Fit._step

    def stepping(self: loop.Fit, x: Any, y: Tensor | None) -> None:
        if self.at.step == step:
            raise Stopped
        true(self, x, y)

    with stepping_so(stepping), suppress(Stopped):
        train(*args)


def error(out: str) -> str:
    """Return what is said where the run's folder cannot be made."""
    try:
        train("vae", {}, out)
    except UserError as raised:
        return str(raised)
    return "no error"


def normed(total: int) -> dict[str, np.ndarray]:
    """Pass this process's rows through batch normalisation, and return what it gives, its slopes and its averages."""
    out: dict[str, Tensor] = {}
    layers = {
        "rows": ((3,), BatchNorm(3)),
        "maps": ((3, 2, 2), nn.BatchNorm2d(3, affine=False, momentum=0.3)),
        "averaged": ((3, 2), nn.BatchNorm1d(3, momentum=None)),
        "without averages": ((3, 2), nn.BatchNorm1d(3, track_running_stats=False)),
    }
    for name, (shape, layer) in layers.items():
        layer.train(name != "without averages")
        distributed.share_batch_norms(layer)
        x = torch.cos(torch.arange(float(np.prod(shape)) * total)).view(total, *shape)
        with distributed.sharing(total, 0):
            mine = distributed.deal(x).clone().requires_grad_()
            for _ in range(2):
                out[name] = layer(mine)
            (out[f"{name}.slope"],) = torch.autograd.grad(
                distributed.share_of_mean(out[name].pow(3).flatten(1).sum(1)), mine
            )
        out |= {f"{name}.{key}": value for key, value in layer.state_dict().items() if key.startswith("running")}
    return {name: value.detach().numpy() for name, value in out.items()}


def narrowed(total: int) -> dict[str, Any]:
    """Keep some rows of a batch (those of the first process more often), and take means and gather for these."""
    x = torch.sin(torch.arange(total * 1.0))
    keep = (torch.arange(total) % 4) != 3
    with distributed.sharing(total, 0):
        mine, kept = distributed.deal(x), distributed.deal(keep)
        distributed.narrow(kept)
        mine = mine[kept]
        out: dict[str, Any] = {"every": distributed.gather(mine).numpy(), "total": distributed.total_rows(len(mine))}
        torch.testing.assert_close(distributed.take(distributed.gather(mine)), mine)
        loss = distributed.share_of_mean(mine) + distributed.share_of_mean(distributed.mean_rows(mine).square())
    return out | {"loss": distributed.sums([loss.item()])[0]}


def train_on(recipe: str, source: str, settings: dict[str, Any], out: str) -> dict[str, Any]:
    """Train on a file or known data for a few steps with every step logged."""
    facts: dict[str, Any] = {"train.steps": 5, "train.log_every": 1, "train.precision": "fp32", "train.eps": EPS}
    run = vaekit.train(recipe, source, out=out, set=facts | settings, pictures=False)
    weights = {name: value.numpy() for name, value in run.model.state_dict().items()}
    return {"weights": weights, "log": read(Path(out) / "log.jsonl") if run.path is not None else []}
