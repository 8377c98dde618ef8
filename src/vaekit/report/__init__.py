"""The report: one self-contained HTML file a run, several runs side by side, and what to warn of.

>>> from vaekit.report import Number, RunReport, render
>>> render(RunReport("vae on digits", headline=[Number("elbo", -20.5, 0.1)])).startswith("<!DOCTYPE html>")
True
"""

from vaekit.report.advice import advise
from vaekit.report.content import Figure, Lines, Number, RunReport, Warning_
from vaekit.report.html import compare, render
from vaekit.report.numbers import format_number

__all__ = ["Figure", "Lines", "Number", "RunReport", "Warning_", "advise", "compare", "format_number", "render"]
