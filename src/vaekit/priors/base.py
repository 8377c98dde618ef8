"""The registry of priors."""

from vaekit.conditional import Prior
from vaekit.registry import Registry

PRIORS: Registry[type[Prior]] = Registry("prior", "vaekit.priors")

__all__ = ["PRIORS", "Prior"]
