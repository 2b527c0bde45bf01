"""Images: the way from stored bytes to what the network reads, and the split that official files leave to the user."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reds.datasets.dataset import Features, Labels, Samples, Shape, Split, require_same_size

VALIDATION_IMAGES = 5000
BRIGHTNESS = (0.299, 0.587, 0.114)
"""Share of red, green and blue in a grey value (ITU-R BT.601)."""


@dataclass(frozen=True)
class ImagePreprocessing:
    """Scales bytes to [0, 1] and normalizes them; in training flips, turns and crops from mirrored borders at random.

    Args:
        output_shape: Shape of one sample's features.
        mean: Subtracted after scaling, per colour channel.
        deviation: Divided by after that, per colour channel.
        largest_shift: Pixels by which a crop may lie off the middle.
        largest_turn: Radians by which an image may be turned.
        turn_probability: Share of the images that are turned.
        grey: Whether normalized colours are mixed to one channel.
    """

    output_shape: Shape
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)
    largest_shift: int = 2
    largest_turn: float = 0.0
    turn_probability: float = 0.0
    grey: bool = False

    is_slow = False

    def with_output_shape(self, shape: Shape) -> "ImagePreprocessing":
        if self.output_shape[2:] == (len(BRIGHTNESS),) and shape == (*self.output_shape[:2], 1):
            return replace(self, output_shape=shape, grey=True)
        require_same_size(shape, self.output_shape)
        return replace(self, output_shape=shape)

    def augment(self, samples: Samples, generator: np.random.Generator) -> Samples:
        """Flips, turns and shifts each image by chances of its own.

        Args:
            samples: Images of shape (images, height, width, channels).
            generator: Source of chance.
        """
        count, height, width, _ = samples.shape
        flipped = generator.random((count, 1, 1, 1)) < 0.5
        images = self._turned(np.where(flipped, samples[:, :, ::-1], samples), generator)
        border = (self.largest_shift, self.largest_shift)
        padded = np.pad(images, ((0, 0), border, border, (0, 0)), mode="symmetric")
        rows, columns = generator.integers(2 * self.largest_shift + 1, size=(2, count))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
        # A sliding window has its pixels behind the colour channels.
        return np.moveaxis(windows[np.arange(count), rows, columns], 1, -1)

    def features(self, samples: Samples) -> Features:
        scaled = samples.astype(np.float32) / np.float32(255)
        mean, deviation = (np.array(values, np.float32) for values in (self.mean, self.deviation))
        normalized = (scaled - mean) / deviation
        if self.grey:
            normalized = normalized @ np.array(BRIGHTNESS, np.float32)
        return normalized.reshape(-1, *self.output_shape)

    def _turned(self, images: Samples, generator: np.random.Generator) -> Samples:
        """Some of the images turned."""
        if self.turn_probability == 0:
            return images
        chosen = generator.random(len(images)) < self.turn_probability
        angles = generator.uniform(-self.largest_turn, self.largest_turn, np.count_nonzero(chosen))
        images = images.copy()
        images[chosen] = turn(images[chosen], angles)
        return images


def turn(images: NDArray[np.uint8], angles: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Turns images around their middle, with bilinear interpolation and zeros around them.

    Args:
        images: Shape (images, height, width, channels).
        angles: Radians of each, counterclockwise.
    """
    count, height, width, _ = images.shape
    middle = (np.array((height, width)) - 1) / 2
    rows, columns = np.indices((height, width)) - middle[:, np.newaxis, np.newaxis]
    cosine, sine = (function(angles)[:, np.newaxis, np.newaxis] for function in (np.cos, np.sin))
    sources = (cosine * rows + sine * columns + middle[0], cosine * columns - sine * rows + middle[1])
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    # In the padded image a source lies one further; what lies outside of it is on its border of zeros.
    row, column = (np.clip(source + 1, 0, size + 1) for source, size in zip(sources, (height, width), strict=True))
    top, left = (np.minimum(np.floor(place), size).astype(int) for place, size in ((row, height), (column, width)))
    down, right = (row - top)[..., np.newaxis], (column - left)[..., np.newaxis]
    each = np.arange(count)[:, np.newaxis, np.newaxis]
    upper = (1 - right) * padded[each, top, left] + right * padded[each, top, left + 1]
    lower = (1 - right) * padded[each, top + 1, left] + right * padded[each, top + 1, left + 1]
    return np.rint((1 - down) * upper + down * lower).astype(np.uint8)


def train_and_validation(
    images: NDArray[np.uint8], labels: Labels, preprocessing: ImagePreprocessing, seed: int
) -> tuple[Split, Split]:
    """Keeps 5,000 training images apart for validation.

    Args:
        images: More than 5,000 images of shape (images, height, width, channels).
        labels: Their classes.
        preprocessing: Of both splits.
        seed: Seed of the choice.
    """
    everything = Split(images, labels, preprocessing)
    order = np.random.default_rng(seed).permutation(len(images))
    train, validation = np.sort(order[:-VALIDATION_IMAGES]), np.sort(order[-VALIDATION_IMAGES:])
    return everything.take(train), everything.take(validation)
