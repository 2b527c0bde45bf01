import numpy as np
import pytest
import tensorflow as tf

from reds.datasets.dataset import Split
from reds.datasets.images import ImagePreprocessing, turn
from reds.errors import UsageError


@pytest.mark.parametrize("shift", [0, 2, 4])
def test_augmentation_flips_and_crops_whole_pixels(shift: int) -> None:
    size = 10
    image = np.arange(size * size * 3).reshape(size, size, 3)
    borders = ((shift, shift), (shift, shift), (0, 0))
    possible = {
        np.pad(source, borders, mode="symmetric")[row : row + size, column : column + size].tobytes()
        for source in (image, image[:, ::-1])
        for row in range(2 * shift + 1)
        for column in range(2 * shift + 1)
    }
    preprocessing = ImagePreprocessing(image.shape, largest_shift=shift)
    varied = preprocessing.augment(np.repeat(image[None], 2000, axis=0), np.random.default_rng(0))
    assert {one.tobytes() for one in varied} == possible


def test_features_are_normalized_per_channel_in_any_shape_of_that_size() -> None:
    images = np.array([0, 51, 255], np.uint8) * np.ones((4, 2, 2, 1), np.uint8)
    preprocessing = ImagePreprocessing((2, 2, 3), mean=(0.0, 0.1, 0.5), deviation=(1.0, 0.5, 0.25))
    features = preprocessing.features(images)
    np.testing.assert_allclose(features, np.broadcast_to([0.0, 0.2, 2.0], (4, 2, 2, 3)), rtol=1e-6)
    flat = preprocessing.with_output_shape((12,)).features(images)
    np.testing.assert_array_equal(flat, features.reshape(4, 12))
    with pytest.raises(UsageError, match="fit each other"):
        preprocessing.with_output_shape((2, 1, 1))


def test_grey_images_are_the_brightness_of_colour_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8)
    preprocessing = ImagePreprocessing((4, 6, 3)).with_output_shape((4, 6, 1))
    expected = [[tf.image.rgb_to_grayscale(row / 255).numpy() for row in image] for image in images]
    np.testing.assert_allclose(preprocessing.features(images), expected, atol=1e-3)
    with pytest.raises(UsageError, match="fit each other"):
        preprocessing.with_output_shape((4, 6, 3))


def test_batches_without_augmentation_are_the_images_in_order_of_the_epoch() -> None:
    images = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    split = Split(images, np.arange(10), ImagePreprocessing((4, 4, 1)))
    pairs = list(split.batches(batch_size=4, augment=False))
    x, y = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    assert sorted(y) == list(range(10)) != list(y)
    np.testing.assert_array_equal(x, split.features()[0][y])


def test_turning_by_right_angles_moves_whole_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 3), np.uint8)
    turned = turn(images, np.arange(4) * np.pi / 2)
    for quarters, (image, result) in enumerate(zip(images, turned, strict=True)):
        np.testing.assert_array_equal(result, np.rot90(image, quarters))


def test_turning_there_and_back_keeps_the_middle_of_a_smooth_image() -> None:
    rows, columns = np.indices((28, 28))
    image = (100 + 50 * np.sin(rows / 6) + 50 * np.cos(columns / 5)).astype(np.uint8)[None, :, :, None]
    back = turn(turn(image, np.array([0.2])), np.array([-0.2])).astype(int)
    assert np.abs(back - image)[:, 7:-7, 7:-7].max() <= 3
    corner = turn(np.full((1, 28, 28, 1), 255, np.uint8), np.array([0.2]))[0, 0, 0, 0]
    assert corner == 0


def test_a_share_of_the_images_is_turned_each_by_its_own_angle() -> None:
    image = np.zeros((28, 28, 1), np.uint8)
    image[4:24, 13:15] = 255
    images = np.repeat(image[None], 1000, axis=0)
    preprocessing = ImagePreprocessing(image.shape, largest_shift=0, largest_turn=0.2, turn_probability=0.3)
    varied = preprocessing.augment(images, np.random.default_rng(0))
    turned = [one.tobytes() for one in varied if not np.array_equal(one, image)]
    assert len(turned) == pytest.approx(300, abs=50)
    assert len(set(turned)) > 0.9 * len(turned)
    assert (images == image).all()
