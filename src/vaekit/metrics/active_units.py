"""Latent metrics: active units and the KL of each dimension."""

from __future__ import annotations

from vaekit.collapse import ACTIVE, LatentWatch
from vaekit.metrics.base import Result, Subject, metric, refused


@metric(
    "active_units",
    group="latents",
    gives={
        "active_units": (f"latent dimensions whose posterior mean varies by more than {ACTIVE} over the data", True)
    },
    reference="Burda et al. 2016, arXiv:1509.00519, §5.3",
)
def active_units(subject: Subject) -> dict[str, Result]:
    """Active units: Var_x(E_q[z_j|x]) > 0.01, over the test examples, with the KL of each dimension beside them."""
    if len(subject.x) < 2:
        return {"active_units": refused("a variance over the data needs at least two examples", "units")}
    watch = LatentWatch()
    for x, y in subject.batches("active_units"):
        watch.add(subject.model.trace(x, y, hard=True))
    if watch.sums:
        active = [one for each in watch.active().values() for one in each]
    else:  # no latent with a KL by dimension
        active = (subject.features.double().var(0, correction=0) > ACTIVE).tolist()
    facts = {"of": len(active), "threshold": ACTIVE, "kl_elements": watch.kl_elements()}
    return {"active_units": Result(float(sum(active)), "units", len(subject.x), facts=facts)}
