"""Recipes: the only place that names variants."""
