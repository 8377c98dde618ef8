"""Kinds of data other than arrays of numbers: one module registers one modality."""
