"""The front end against its definition written out in numpy, in double precision."""

import numpy as np

from reds.datasets.features import mfcc


def hertz_to_mel(hertz: np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(hertz / 700.0)


def written_out(waveform: np.ndarray) -> np.ndarray:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(640) / 640)
    frames = np.stack([waveform[start : start + 640] for start in range(0, 16000 - 640 + 1, 320)])
    magnitudes = np.abs(np.fft.rfft(frames * window, 1024))
    edges = np.linspace(*hertz_to_mel(np.array([20.0, 4000.0])), 42)
    bins = hertz_to_mel(np.linspace(0, 8000, 513))
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0, np.minimum(rising, falling))
    bank[0] = 0
    log_mel = np.log(magnitudes @ bank + 1e-6)
    band = np.arange(40) + 0.5
    cosines = np.cos(np.pi / 40 * np.outer(band, np.arange(10)))
    return log_mel @ cosines * np.sqrt(2 / 40)


def test_mfcc_is_its_definition() -> None:
    generator = np.random.default_rng(0)
    time = np.arange(16000) / 16000
    waveforms = np.stack(
        [
            0.1 * generator.standard_normal(16000),
            0.5 * np.sin(2 * np.pi * 440 * time) + 1e-3 * generator.standard_normal(16000),
            np.zeros(16000),
        ]
    ).astype(np.float32)
    features = mfcc(waveforms)
    assert features.shape == (3, 49, 10)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, np.stack([written_out(x) for x in waveforms]), rtol=1e-3, atol=2e-3)


def test_a_clip_has_the_same_features_in_any_batch() -> None:
    waveforms = np.random.default_rng(1).uniform(-1, 1, (5, 16000)).astype(np.float32)
    np.testing.assert_allclose(mfcc(waveforms)[3:4], mfcc(waveforms[3:4]), rtol=1e-5, atol=1e-5)
