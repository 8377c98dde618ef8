"""Arrays of every type, size and magnitude through training, evaluation and use."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np

import vaekit
from attack.tries import Try, attempt

TYPES = (
    *(np.float16, np.float32, np.float64, np.longdouble, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16),
    *(np.uint32, np.uint64, np.bool_, np.complex64, ">f4", ">i2", "U3", object),
)
RECIPES = ("vae", "vae", "ae", "beta-vae", "iwae", "vq-vae", "linear-vae", "wae-mmd", "flow-vae", "sigma-vae")
SHAPES = (
    *((5,), (5,), (5,), (1, 8, 8), (1, 8, 8), (3, 4, 4), (1,), (2,)),
    *((), (1, 1, 1), (0,), (2, 3), (1, 4, 4, 4)),
)
SPECIAL = (0.0, -0.0, 1e30, -1e30, 1e-30, 9.96921e36, math.nan, math.inf, -math.inf, 1e38, 3.4e38, 255.0, 65504.0)
SETTINGS: tuple[dict[str, Any], ...] = (
    *({}, {}, {"data.valid": 0}, {"data.test": 0}, {"data.valid": 0, "data.test": 0}, {"model.scale": 1e-30}),
    *({"train.lr": 1e30}, {"train.lr": 0}, {"train.batch_size": 1}, {"train.batch_size": 100_000}, {"model.latent": 1}),
    *({"model.likelihood": "gaussian"}, {"model.likelihood": "bernoulli"}, {"model.likelihood": "poisson"}),
    *(
        {"model.likelihood": "tokens"},
        {"model.likelihood": "mixed"},
        {"data.standardise": "no"},
        {"data.binarise": "fixed"},
    ),
)


def array(random: Random) -> np.ndarray:
    """Return an array that somebody might bring, or that nobody should."""
    rng = np.random.default_rng(random.randrange(2**32))
    rows = random.choice((0, 1, 2, 3, 9, 10, 11, *(40,) * 9))
    shape = (rows, *random.choice(SHAPES))
    kind = random.choice(("normal", "unit", "whole", "constant", "one column", "huge", "tiny", "special"))
    x = rng.normal(size=shape)
    x = {"unit": rng.random(shape), "whole": np.floor(rng.random(shape) * 4), "huge": x * 1e30, "tiny": x * 1e-30}.get(
        kind, x
    )
    if kind == "constant":
        x = np.full(shape, random.choice((0.0, 1.0, -3.5, 1e30)))
    if kind == "one column" and len(shape) == 2 and shape[1]:
        x[:, 0] = random.choice(SPECIAL)
    if kind == "special" and x.size:
        x.reshape(-1)[random.randrange(x.size)] = random.choice(SPECIAL)
    with np.errstate(all="ignore"):
        return x.astype(random.choice(TYPES) if random.random() < 0.3 else np.float32)


def try_one(seed: int) -> Try:
    """Train two steps, evaluate and use; each number is finite, or null with a reason."""
    random = Random(f"numbers {seed}")
    x = array(random)
    settings = {"model.hidden": [4], **random.choice(SETTINGS)}
    recipe = random.choice(RECIPES)
    settings.setdefault("model.latent", 2)
    if recipe == "vq-vae":
        settings = {name: value for name, value in settings.items() if name not in ("model.hidden", "model.latent")}

    def call() -> str:
        with np.errstate(all="ignore"):
            run = vaekit.train(recipe, x, steps=2, device="cpu", pictures=False, set=settings, seed=seed % 7)
            elbo = run.record.get("result", {}).get("elbo")
            if isinstance(elbo, float) and not math.isfinite(elbo):
                return f"elbo is {elbo}"
            for name, result in run.evaluate(["elbo", "mse"], limit=20).items():
                if result.value is not None and not math.isfinite(result.value):
                    return f"{name} is {result.value}"
            run.encode(x[:3])
            run.sample(2)
        return ""

    made = attempt(call, lambda why: why)
    detail = f"{recipe} {settings} {x.dtype} {x.shape} seed {seed}"
    return Try(made.outcome, f"{detail}\n{made.why}" if made.outcome == "bad" else made.why, made.seconds, made.mb)
