"""Priors p(z) and p(z|c), one file a family."""
