"""Objectives: sums of terms, one sum a player."""
