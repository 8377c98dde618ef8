"""vaekit: variational autoencoders from a few shared parts, with every number what its name says."""

__version__ = "0.1.0"
