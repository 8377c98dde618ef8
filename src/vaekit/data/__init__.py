"""Data: sources, known sets, checks, splits and preprocessing."""
