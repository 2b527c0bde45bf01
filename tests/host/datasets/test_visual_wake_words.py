from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from reds.datasets import load
from reds.errors import UsageError

CLASSES = ("non_person", "person")
IMAGES = {"non_person": 31, "person": 20}


def write_image(path: Path, value: int, size: tuple[int, int] = (96, 96), channels: int = 3) -> None:
    """An image of one value, so that neither the compression nor scaling changes it by more than a little."""
    pixels = np.full((*size, channels), value, np.uint8)
    encode = tf.io.encode_png if path.suffix.lower() == ".png" else tf.io.encode_jpeg
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(pixels).numpy())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pixels of the n-th image of a class are n, plus 100 for persons."""
    for label, name in enumerate(CLASSES):
        for number in range(IMAGES[name]):
            suffix = (".jpg", ".png", ".JPEG")[number % 3]
            write_image(tmp_path / name / f"image_{number:03}{suffix}", 100 * label + number)
        (tmp_path / name / "notes.txt").write_text("not an image")
    return tmp_path


def values(split) -> list[int]:
    """The value of each image, by its middle pixel."""
    return np.rint(split.features()[0][:, 48, 48, 0] * 255).astype(int).tolist()


def test_folders_are_read_and_divided_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDS_DATA", str(folder.parent))
    data = load("visual_wake_words")
    assert (data.name, data.classes, data.input_shape) == ("visual_wake_words", CLASSES, (96, 96, 3))
    assert values(data.validation) == [0, 1, 2, 100, 101]
    assert values(data.test) == [3, 4, 5, 102, 103]
    assert values(data.train) == [*range(6, 31), *range(104, 120)]
    for split in (data.train, data.validation, data.test):
        np.testing.assert_array_equal(split.labels, np.array(values(split)) >= 100)


def test_a_test_folder_is_the_test(folder: Path) -> None:
    write_image(folder / "test" / "non_person" / "a.png", 50)
    with pytest.raises(UsageError, match=r"test.person holds no images; expected a folder 'person'"):
        load("visual_wake_words", folder)
    write_image(folder / "test" / "person" / "b.png", 200)
    data = load("visual_wake_words", folder)
    assert values(data.test) == [50, 200]
    assert values(data.validation) == [0, 1, 2, 100, 101]
    assert len(data.train) == 51 - 5


def test_other_sizes_and_grey_images_are_scaled_to_colour_of_96_pixels(folder: Path) -> None:
    write_image(folder / "person" / "a_small.png", 222, size=(40, 60))
    write_image(folder / "person" / "b_grey.png", 233, size=(300, 200), channels=1)
    validation = load("visual_wake_words", folder).validation
    assert values(validation)[-2:] == [222, 233]
    assert validation.samples.shape[1:] == (96, 96, 3)


def test_a_damaged_image_is_named(folder: Path) -> None:
    path = folder / "person" / "image_007.png"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UsageError, match=r"image_007.png is not a complete"):
        load("visual_wake_words", folder)


def test_another_layout_is_told_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not hold visual_wake_words; expected a folder 'person'"):
        load("visual_wake_words", tmp_path / "missing")
    (tmp_path / "person").mkdir()
    with pytest.raises(UsageError, match="expected a folder 'person'"):
        load("visual_wake_words", tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(UsageError, match=r"cat holds 0 images; expected a folder 'person'"):
        load("visual_wake_words", tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(UsageError, match="does not hold visual_wake_words"):
        load("visual_wake_words", tmp_path)
