"""Examples in several modalities: a column an example, a line of panels a modality."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 12
WIDE = 16
"""Letters in a line of text."""


def side_by_side(views: Sequence[tuple[str, str, Any]], titles: Sequence[str] = ()) -> Figure:
    """Draw examples: `views` are (name, kind, one value an example), arrays (N, *shape) or N texts.

    Pictures (1 or 3, H, W) in [0, 1] and spectrograms (1, H, W) are drawn as such, other numbers as a line, texts in
    words. What is missing (NaN) is left empty. `titles` name the examples.

    >>> fig = side_by_side([("photo", "picture", np.zeros((3, 1, 8, 8))), ("caption", "text", ["a", "b", "c"])])
    >>> len(fig.axes)
    6
    """
    count = min(len(views[0][2]), MOST)
    fig = style.figure(0.95 * count + 0.9, 1.05 * len(views) + 0.3)
    axes = np.array(fig.subplots(len(views), count, squeeze=False))
    for line, (name, kind, values) in zip(axes, views):
        for i, ax in enumerate(line):
            style.bare(ax)
            _draw(ax, kind, values[i])
        line[0].set_ylabel(style.plain(name), fontsize=style.TICK)
    for ax, title in zip(axes[0], titles):
        ax.set_title(style.plain(title), fontsize=style.TICK)
    return fig


def _draw(ax: Any, kind: str, value: Any) -> None:
    if isinstance(value, str):
        text = "\n".join(textwrap.wrap(value, WIDE)[:6])
        ax.text(0.5, 0.5, style.plain(text), ha="center", va="center", fontsize=style.TICK - 2, transform=ax.transAxes)
    elif np.isnan(value).all():
        return
    elif kind == "picture":
        last = np.moveaxis(np.nan_to_num(np.asarray(value, np.float64)).clip(0, 1), 0, -1)
        ax.imshow(last[..., 0] if last.shape[-1] == 1 else last, cmap="gray", vmin=0, vmax=1)
    elif kind == "sound":
        ax.imshow(value[0], origin="lower", aspect="auto", cmap="magma")
    else:
        ax.plot(np.ravel(value), color=style.PALETTE[0], linewidth=0.8)
