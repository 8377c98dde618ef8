"""The registry of posteriors."""

from vaekit.conditional import Draw, Posterior
from vaekit.registry import Registry

POSTERIORS: Registry[type[Posterior]] = Registry("posterior", "vaekit.posteriors")

__all__ = ["POSTERIORS", "Draw", "Posterior"]
