import numpy as np
import pytest

from reds.datasets.features import log_mel
from reds.datasets.speech import FEATURE_SHAPE, SpeechPreprocessing, silence_clips
from reds.errors import UsageError

SILENT = [np.zeros(32000, np.float32)]
LOUD = [np.ones(32000, np.float32)]


def marked_clips(count: int) -> np.ndarray:
    """Clips with a single impulse in the middle."""
    clips = np.zeros((count, 16000), np.int16)
    clips[:, 8000] = 16384
    return clips


def test_clips_are_shifted_by_up_to_100_milliseconds_and_zero_padded() -> None:
    varied = SpeechPreprocessing(SILENT).augment(marked_clips(300), np.random.default_rng(0))
    assert (np.count_nonzero(varied, axis=1) == 1).all()
    shifts = varied.argmax(axis=1) - 8000
    assert np.abs(shifts).max() <= 1600
    assert shifts.min() < -1400
    assert shifts.max() > 1400
    np.testing.assert_array_equal(varied.max(axis=1), 0.5)


def test_noise_is_added_to_four_of_five_at_up_to_a_tenth() -> None:
    clips = np.zeros((1000, 16000), np.int16)
    volumes = SpeechPreprocessing(LOUD).augment(clips, np.random.default_rng(0)).max(axis=1)
    assert np.mean(volumes > 0) == pytest.approx(0.8, abs=0.04)
    assert volumes.max() == pytest.approx(0.1, abs=0.002)
    assert volumes[volumes > 0].mean() == pytest.approx(0.05, abs=0.004)


def test_augmentation_stays_in_range_and_leaves_its_input() -> None:
    clips = np.full((20, 16000), 32767, np.int16)
    varied = SpeechPreprocessing(LOUD).augment(clips, np.random.default_rng(0))
    assert varied.max() <= 1
    assert (clips == 32767).all()


def test_the_dnn_reads_every_other_frame() -> None:
    clips = np.random.default_rng(0).integers(-9999, 9999, (2, 16000), np.int16)
    preprocessing = SpeechPreprocessing(SILENT)
    whole = preprocessing.features(clips)
    assert whole.shape == (2, *FEATURE_SHAPE)
    vector = preprocessing.with_output_shape((250,)).features(clips)
    np.testing.assert_array_equal(vector, whole[:, ::2].reshape(2, 250))
    np.testing.assert_array_equal(preprocessing.with_output_shape((10, 49)).features(clips), whole.reshape(2, 10, 49))
    with pytest.raises(UsageError, match=r"\(28, 28, 1\)"):
        preprocessing.with_output_shape((28, 28, 1))


def test_a_vector_of_all_frames_holds_log_mel_energies() -> None:
    clips = np.random.default_rng(0).integers(-9999, 9999, (2, 16000), np.int16)
    vector = SpeechPreprocessing(SILENT).with_output_shape((490,)).features(clips)
    np.testing.assert_array_equal(vector, log_mel(clips.astype(np.float32) / 32768).reshape(2, 490))


def test_silence_is_cut_from_noise_at_any_volume() -> None:
    clips = silence_clips(LOUD, 200, np.random.default_rng(0))
    volumes = clips.max(axis=1) / 32768
    assert clips.shape == (200, 16000)
    assert volumes.min() < 0.1
    assert volumes.max() > 0.9
