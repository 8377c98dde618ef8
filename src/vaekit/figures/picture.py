"""An image that is many pixels on the screen for each of its own: each is laid down whole, without resampling.

Matplotlib enlarges an image in floating point with an alpha channel at the size of the screen; what comes out for
whole pixels is the same. Imported with the first picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.transforms import Bbox, IdentityTransform

_ENOUGH = 3.0
"""Screen pixels for one of the image's from which matplotlib itself takes the nearest one rather than a mean."""


class Picture(AxesImage):
    """An `AxesImage` with the same array, extent and colours."""

    def make_image(self, renderer: Any, magnification: float = 1.0, unsampled: bool = False) -> Any:
        """Return the picture at its size on the screen, (H, W, 4) bytes, and the place of its lower left corner."""
        x0, x1, y0, y1 = self.get_extent()
        box = Bbox(self.get_transform().transform([[x0, y0], [x1, y1]]))
        values: Any = self.get_array()
        left, low, right, high = (int(np.floor(v + 0.5)) for v in box.extents)
        size = np.array([high - low, right - left])
        around = self.axes.bbox.padded(1)  # type: ignore[union-attr]
        inside = around.containsx(left) and around.containsx(right) and around.containsy(low) and around.containsy(high)
        if magnification != 1 or unsampled or not inside or (size < _ENOUGH * np.array(values.shape[:2])).any():
            return super().make_image(renderer, magnification, unsampled)
        rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(size, values.shape[:2]))
        colours: Any = np.ascontiguousarray(self.to_rgba(values, bytes=True)).view(np.uint32)[..., 0]
        if (box.y1 < box.y0) == (self.origin == "lower"):
            rows = rows[::-1]
        made = np.ascontiguousarray(colours[rows][:, columns]).view(np.uint8).reshape(*size, 4)
        return made, float(left), float(low), IdentityTransform()


def show(ax: Axes, values: np.ndarray, **options: Any) -> Picture:
    """Do what `Axes.imshow` does with square pixels."""
    ax.set_aspect("equal")
    made = Picture(ax, interpolation="nearest", origin="upper", **options)
    made.set_data(values)
    made.set_clip_path(ax.patch)
    made.set_extent(made.get_extent())
    ax.add_image(made)
    return made
