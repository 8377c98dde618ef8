"""Metrics: what a trained model is worth, each number with its unit and its standard error."""
