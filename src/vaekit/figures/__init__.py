"""Figures: functions that return Matplotlib figures."""
