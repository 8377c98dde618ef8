"""What theory says exactly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vaekit.published.base import Attempt, Budget, Figure, Measured, published
from vaekit.published.numbers import numeric
from vaekit.runs.train import train

LINEAR = "linear VAE, exact log p(x)"
BOUND = "linear VAE, ELBO"
DRAWS = 50


@published(
    "ppca",
    title="a linear VAE against probabilistic PCA",
    source="Lucas et al. 2019, arXiv:1911.02469, theorem; Tipping & Bishop 1999",
    protocol="The optimum of a linear VAE with one σ is probabilistic PCA with as many latents, and there the ELBO is "
    "log p(x): mean exact log p(x) of the test split against that of scikit-learn's PCA fitted to the same training "
    "split. The ELBO is a mean over 50 samples an example.",
    data="breast-cancer",
    unit="nats/example",
    rows={LINEAR: Figure(tag="T"), BOUND: Figure(tag="T")},
    tolerance=0.25,
    lower=False,
    exact=True,
    budgets={
        "smoke": Budget({"seeds": [0]}, "one training seed", "all"),
        "full": Budget({"seeds": [0, 1, 2]}, gates="all"),
    },
)
def ppca(at: Attempt) -> Iterator[tuple[str, Measured]]:
    """Train linear VAEs, and fit PCA to what they saw."""
    from sklearn.decomposition import PCA

    x = numeric(at.data)[1].astype(np.float32)
    found: dict[str, list[float]] = {"exact_log_px": [], "elbo": [], "pca": []}
    for seed in at.seeds:
        run = train("linear-vae", x, seed=seed, device=at.device, set=at.terms.get("settings", {}))
        found["exact_log_px"].append(float(run.evaluate(["exact_log_px"])["exact_log_px"].value or 0.0))
        # one sample an example is too noisy on so few examples
        each = [run.evaluate(["elbo"], seed=draw)["elbo"].value or 0.0 for draw in range(DRAWS)]
        found["elbo"].append(float(np.mean(each)))
        seen = np.asarray(run.prepare.fixed(run.data.train, 1).x.flatten(1))
        scores = PCA(run.settings.model.latent).fit(seen).score_samples(np.asarray(run.test.x.flatten(1)))
        # the run's figures are of the values before they were standardised
        found["pca"].append(float(scores.mean()) - (run.info.log_unit if run.info.standardised else 0.0))
    theirs = float(np.mean(found["pca"]))
    yield LINEAR, Measured(tuple(found["exact_log_px"]), theirs=theirs)
    yield BOUND, Measured(tuple(found["elbo"]), theirs=theirs)
