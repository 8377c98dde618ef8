"""Runs: training into a folder, loading from it, and everything a trained model is for."""
