"""Where TFLite Micro looks for what is nearest in a map that it resizes."""

import numpy as np
from numpy.typing import NDArray


def nearest(source: int, target: int, align_corners: bool, half_pixel_centers: bool) -> NDArray[np.uint16]:
    """Which of a map's rows, or columns, each of a resized map has, in TFLite Micro's single precision.

    Args:
        source: rows of the map.
        target: rows of the resized map.
        align_corners: whether the first and the last rows of both lie upon each other.
        half_pixel_centers: whether rows are looked for from their middles.
    """
    steps = (source - 1, target - 1) if align_corners and target > 1 else (source, target)
    scale = np.float32(steps[0]) / np.float32(steps[1])
    offset = np.float32(0.5 if half_pixel_centers else 0.0)
    exact = ((np.arange(target, dtype=np.float32) + offset) * scale).astype(np.float64)
    places = np.floor(exact + 0.5) if align_corners else np.floor(exact)
    return np.minimum(places, source - 1).astype(np.uint16)
