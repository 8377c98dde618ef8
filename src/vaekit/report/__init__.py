"""The report: one self-contained HTML file per run, several runs side by side, and warnings.

>>> from vaekit.report import Number, RunReport, render
>>> render(RunReport("vae on digits", headline=[Number("elbo", -20.5, 0.1)])).startswith("<!DOCTYPE html>")
True
"""

from vaekit.report.advice import Facts, advise
from vaekit.report.content import Decoder, Figure, Lines, Number, Rows, RunReport, Sound, StudyReport, Warning_
from vaekit.report.html import compare, render, study
from vaekit.report.numbers import format_number
from vaekit.report.verdict import Evidence, Verdict, judge

__all__ = [
    "Decoder",
    "Evidence",
    "Facts",
    "Figure",
    "Lines",
    "Number",
    "Rows",
    "RunReport",
    "Sound",
    "StudyReport",
    "Verdict",
    "Warning_",
    "advise",
    "compare",
    "format_number",
    "judge",
    "render",
    "study",
]
