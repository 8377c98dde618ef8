"""The registry of likelihoods."""

from vaekit.conditional import Likelihood
from vaekit.registry import Registry

LIKELIHOODS: Registry[type[Likelihood]] = Registry("likelihood", "vaekit.likelihoods")

__all__ = ["LIKELIHOODS", "Likelihood"]
