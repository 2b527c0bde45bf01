"""Images: the way from stored bytes to what the network reads, and the split that official files leave to the user."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reds.datasets.dataset import Features, Labels, Samples, Shape, Split, require_same_size

VALIDATION_IMAGES = 5000


@dataclass(frozen=True)
class ImagePreprocessing:
    """Scales bytes to [0, 1] and normalizes them; in training flips at random and crops from mirrored borders.

    Args:
        output_shape: Shape of one sample's features.
        mean: Subtracted after scaling, per colour channel.
        deviation: Divided by after that, per colour channel.
        largest_shift: Pixels by which a crop may lie off the middle.
    """

    output_shape: Shape
    mean: tuple[float, ...] = (0.0,)
    deviation: tuple[float, ...] = (1.0,)
    largest_shift: int = 2

    is_slow = False

    def with_output_shape(self, shape: Shape) -> "ImagePreprocessing":
        require_same_size(shape, self.output_shape)
        return replace(self, output_shape=shape)

    def augment(self, samples: Samples, generator: np.random.Generator) -> Samples:
        """Flips and shifts each image.

        Args:
            samples: Images of shape (images, height, width, channels).
            generator: Source of chance.
        """
        count, height, width, _ = samples.shape
        flipped = generator.random((count, 1, 1, 1)) < 0.5
        images = np.where(flipped, samples[:, :, ::-1], samples)
        border = (self.largest_shift, self.largest_shift)
        padded = np.pad(images, ((0, 0), border, border, (0, 0)), mode="symmetric")
        rows, columns = generator.integers(2 * self.largest_shift + 1, size=(2, count))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
        # A sliding window has its pixels behind the colour channels.
        return np.moveaxis(windows[np.arange(count), rows, columns], 1, -1)

    def features(self, samples: Samples) -> Features:
        scaled = samples.astype(np.float32) / np.float32(255)
        mean, deviation = (np.array(values, np.float32) for values in (self.mean, self.deviation))
        return ((scaled - mean) / deviation).reshape(-1, *self.output_shape)


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
