"""Posteriors q(z|x), one file a family."""
