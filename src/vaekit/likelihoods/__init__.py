"""Likelihoods p(x|z), one file a family."""
