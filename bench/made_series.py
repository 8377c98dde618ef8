"""Series with a known law, for bench/claims.py: oscillations whose log p(x) is exact, and pendulums that go round."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

COUNT, STEPS = 600, 24
TURN, DAMPING, PUSH, NOISE = 0.6, 0.95, 0.3, 0.3
CARRY = DAMPING * np.array([[math.cos(TURN), -math.sin(TURN)], [math.sin(TURN), math.cos(TURN)]])
EMIT = np.array([[1.0, 0.0], [0.5, 1.0]])
Floats = NDArray[np.float64]


def oscillations(seed: int = 0) -> Floats:
    """Return z_1 ~ N(0, I), z_t = A z_{t-1} + q ε, x_t = C z_t + σ ε, as x (N, T, 2): a damped turn."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((COUNT, 2))
    out = np.empty((COUNT, STEPS, 2))
    for t in range(STEPS):
        z = z @ CARRY.T + PUSH * rng.standard_normal(z.shape) if t else z
        out[:, t] = z @ EMIT.T + NOISE * rng.standard_normal(z.shape)
    return out


def exact(x: Floats) -> Floats:
    """Return log p(x) of oscillations (N, T, 2), (N,), nats: x is normal, with a covariance that the law gives."""
    steps, eye = x.shape[1], np.eye(2)
    cov = np.zeros((steps, 2, steps, 2))
    own = eye
    for t in range(steps):
        own = CARRY @ own @ CARRY.T + PUSH**2 * eye if t else own
        later = own
        for s in range(t, steps):
            cov[s, :, t] = EMIT @ later @ EMIT.T + (NOISE**2 * eye if s == t else 0)
            cov[t, :, s] = cov[s, :, t].T
            later = CARRY @ later
    flat, full = x.reshape(len(x), -1), cov.reshape(2 * steps, 2 * steps)
    root = np.linalg.cholesky(full)
    white = np.linalg.solve(root, flat.T)
    return -0.5 * (white**2).sum(0) - np.log(root.diagonal()).sum() - steps * math.log(2 * math.pi)


def pendulums(seed: int = 0) -> Floats:
    """Return pendulums as (sin θ, cos θ) with noise, (N, T, 2): half of them are pushed over the top."""
    rng = np.random.default_rng(seed)
    angle, speed = rng.uniform(-math.pi, math.pi, COUNT), 2.5 * rng.standard_normal(COUNT)
    out = np.empty((COUNT, STEPS, 2))
    for t in range(STEPS):
        for _ in range(4):
            speed = speed - 0.075 * 4 * np.sin(angle) - 0.005 * speed
            angle = angle + 0.075 * speed
        speed = speed + 0.1 * rng.standard_normal(COUNT)
        out[:, t] = np.stack([np.sin(angle), np.cos(angle)], -1) + 0.1 * rng.standard_normal((COUNT, 2))
    return out
