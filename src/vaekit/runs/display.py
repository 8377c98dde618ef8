"""What a notebook shows of a run's results: samples as pictures or lines, an evaluation as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaekit import figures
from vaekit.errors import UserError
from vaekit.metrics.base import Result
from vaekit.report import notebook

SHOWN = 64
"""The most examples in one picture."""


class Evaluation(dict[str, Result]):
    """Results by the metric's name; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        return notebook.numbers({name: result.to_dict() for name, result in self.items()})


class Samples(Tensor):
    """A tensor of examples that a notebook shows; whatever is computed with it is a plain tensor.

    >>> x = shown(torch.zeros(2, 1, 4, 4), lambda x: x, None)
    >>> type(x).__name__, type(x + 1).__name__, "data:image/png" in x._repr_html_()
    ('Samples', 'Tensor', True)
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore
    picture: Callable[[Tensor], Tensor]
    lines: Callable[[Tensor], list[str]] | None

    def _repr_html_(self) -> str | None:
        plain = self.as_subclass(Tensor)
        try:
            if self.lines is not None:
                return notebook.lines(self.lines(plain))
            return notebook.picture(figures.png(figures.samples(self.picture(plain[:SHOWN]).numpy(), title=None)))
        except UserError:
            return None  # no picture: five channels, say

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.as_subclass(Tensor).__reduce_ex__(protocol)  # what is kept are the numbers

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return self.as_subclass(Tensor).clone()


def shown(x: Any, picture: Callable[[Tensor], Tensor], lines: Callable[[Tensor], list[str]] | None) -> Any:
    """Return a tensor of examples as one that a notebook shows, by `lines` where there are any, else by `picture`.

    `picture` brings the examples to [0, 1]. What is no tensor comes back as it is.
    """
    if not isinstance(x, Tensor):
        return x
    made = x.as_subclass(Samples)
    made.picture, made.lines = picture, lines
    return made
