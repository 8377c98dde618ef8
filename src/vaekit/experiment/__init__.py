"""Runs: training into a folder, loading from it, evaluating, and what the command line asks for."""

from vaekit.experiment.run import Run, load
from vaekit.experiment.train import train

__all__ = ["Run", "load", "train"]
