"""vaekit: variational autoencoders from a few shared parts, with every number what its name says.

>>> import vaekit
>>> run = vaekit.train("vae", "digits", epochs=1)
>>> run.evaluate(["elbo"])["elbo"].unit
'nats/example'
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "train": "runs.train",
    "load": "runs.loading",
    "Run": "runs.run",
    "study": "studies.study",
    "reproduce": "published.reproduce",
    "VAE": "models.vae",
    "DiagonalNormal": "posteriors.normal",
    "FullNormal": "posteriors.normal",
    "Delta": "posteriors.delta",
    "StandardNormal": "priors.normal",
    "ConditionalNormal": "priors.normal",
    "Bernoulli": "likelihoods.bernoulli",
    "Gaussian": "likelihoods.gaussian",
    "Posterior": "conditional",
    "Prior": "conditional",
    "Likelihood": "conditional",
    "Model": "models.base",
    "Trace": "trace",
    "Latent": "trace",
    "mlp": "nets.mlp",
    "as_net": "nets.own",
    "Term": "objectives.base",
    "term": "objectives.base",
    "Objective": "objectives.base",
    "negative_elbo": "objectives.elbo",
    "ImportanceWeighted": "objectives.importance",
    "Stage": "training.stages",
    "TrainSettings": "training.settings",
    "fit": "runs.fitting",
    "UserError": "errors",
    "NotALikelihood": "errors",
}

__all__ = sorted([*_WHERE, "__version__"])  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    # Nothing is imported before it is asked for: `import vaekit` costs no torch.
    if name in _WHERE:
        value = getattr(importlib.import_module(f"vaekit.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'vaekit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
