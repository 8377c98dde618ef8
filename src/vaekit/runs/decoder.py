"""The decoder of a run for its report: a program small and quick enough to run inside the page."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.explorer.session import Session
from vaekit.latents.manifold import principal_plane
from vaekit.report import Decoder
from vaekit.runs.base import RunBase
from vaekit.tasks.calls import Calls, calls_of
from vaekit.tasks.export import mean_of, plain_distributions

MOST_BYTES = 3_600_000
"""Of weights, which base64 makes 4.8 MB."""
MOST_COST = 10_000_000
"""Multiplications of one decoding, of which a browser does a thousand million a second."""
POINTS = 1000
TRIED = 64


def decoder(run: RunBase) -> Decoder | None:
    """Return a run's decoder for its page; None where it is no picture's, too large or slow, or of unknown parts."""
    if run.info.kind == "graph" or not run.info.has_picture or run.info.is_volume:
        return None
    try:
        session = Session(run)
        if session.discrete:
            return None
        split = run.shown.first(POINTS)
        codes = run.encode(split).flatten(1) if len(split) else torch.zeros(0, session.size)
        calls = _calls(run, session)
    except UserError:
        return None
    if calls is None or codes.shape[1] != session.size:
        return None
    half = _within_one_level(calls, codes.half().float(), session)
    program, weights = calls.packed(half)
    if len(weights) > MOST_BYTES or calls.cost > MOST_COST:
        return None
    facts = session.facts
    classes = facts["classes"] if session.labels.conditions.classes or not facts["takes_label"] else []
    labels = [] if split.labels is None or not classes else split.labels.tolist()
    plane = principal_plane(codes)
    kept = ("width", "height", "channels", "latents", "order", "kl", "low", "high", "centre", "n_test")
    return Decoder(
        program,
        weights,
        codes.half().numpy().astype("<f2").tobytes(),
        {name: facts[name] for name in kept}
        | {
            "classes": classes,
            "takes_label": bool(facts["takes_label"] and classes),
            "labels": labels,
            "axes": plane.axes.tolist(),
            "centre_of_map": plane.centre.tolist(),
            "normal": _standard_normal(run),
            "half": half,
        },
    )


def _calls(run: RunBase, session: Session) -> Calls | None:
    """Return the calls from a code, and the label one-hot where it is a class, to greys from 0 to 255."""
    model = copy.deepcopy(run.model).cpu().eval()
    y = session.labels.given(None, 1, torch.device("cpu"))
    hot = y is not None and session.labels.conditions.classes
    if hot:
        y = torch.eye(len(run.info.classes))[:1]

    def picture(z: Tensor, label: Tensor | None = None) -> Tensor:
        px = model.decode(z.view(-1, *session.latent_shape), y if label is None else label)
        grey = 255 * run.picture(run.prepare.values(mean_of(px)))
        return grey[:, :3] if grey.shape[1] >= 3 else grey[:, :1]

    start = torch.tensor(session.facts["centre"], dtype=torch.float32)[None]
    with plain_distributions():
        return calls_of(picture, [start, y] if hot and y is not None else [start])


def _within_one_level(calls: Calls, codes: Tensor, session: Session) -> bool:
    """Whether weights in float16 change no grey by half a level, at examples' codes and along every slider."""
    facts = session.facts
    ends = torch.tensor([facts["low"], facts["high"]])
    centre = torch.tensor(facts["centre"])
    moved = torch.cat([torch.where(torch.eye(len(centre)).bool(), end, centre) for end in ends])[:TRIED]
    labels = [None] if len(calls.inputs) == 1 else list(torch.eye(calls.shapes[calls.inputs[1]][1]))
    worst = 0.0
    with torch.no_grad(), plain_distributions():
        for i, z in enumerate([*codes[:TRIED], *moved]):
            label = labels[i % len(labels)]
            given = (z[None],) if label is None else (z[None], label[None])
            worst = max(worst, float((calls.replay(*given) - calls.replay(*given, half=True)).abs().max()))
    return worst < 0.5


def _standard_normal(run: RunBase) -> bool:
    """Whether codes are drawn from a standard normal distribution."""
    try:
        p = run.model.prior_of(None)
        return isinstance(p, DiagonalNormalFamily) and bool((p.mean == 0).all() and (p.stddev == 1).all())
    except (UserError, TypeError, AttributeError, ValueError):
        return False
