"""The front ends against their definitions written out in numpy, in double precision."""

import numpy as np

from reds.datasets.features import log_mel, mfcc


def hertz_to_mel(hertz: np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(hertz / 700.0)


def written_out(waveform: np.ndarray) -> np.ndarray:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(640) / 640)
    frames = np.stack([waveform[start : start + 640] for start in range(0, 16000 - 640 + 1, 320)])
    magnitudes = np.abs(np.fft.rfft(frames * window, 1024))
    energies = np.log(magnitudes @ mel_bank(20.0, 4000.0, bands=40, bins=513) + 1e-6)
    band = np.arange(40) + 0.5
    cosines = np.cos(np.pi / 40 * np.outer(band, np.arange(10)))
    return energies @ cosines * np.sqrt(2 / 40)


def log_mel_written_out(waveform: np.ndarray) -> np.ndarray:
    emphasized = np.array([now - 0.96875 * before for now, before in zip(waveform, [0, *waveform[:-1]], strict=True)])
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(480) / 479)
    frames = np.stack([emphasized[start : start + 480] for start in range(0, 16000 - 480 + 1, 320)])
    power = np.maximum(np.abs(np.fft.rfft(frames * window, 512)) ** 2 / 480, 1e-30)
    decibel = 10 * np.log10(power @ mel_bank(125.0, 7500.0, bands=10, bins=257))
    return np.clip((decibel + 52) / 64, 0, 1)


def mel_bank(lowest: float, highest: float, bands: int, bins: int) -> np.ndarray:
    """Triangles over equal steps of mel, from bins up to 8 kHz."""
    edges = np.linspace(*hertz_to_mel(np.array([lowest, highest])), bands + 2)
    places = hertz_to_mel(np.linspace(0, 8000, bins))
    rising = (places[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - places[:, None]) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0, np.minimum(rising, falling))
    bank[0] = 0
    return bank


def some_sounds() -> np.ndarray:
    """Noise, a tone and silence."""
    generator = np.random.default_rng(0)
    time = np.arange(16000) / 16000
    return np.stack(
        [
            0.1 * generator.standard_normal(16000),
            0.5 * np.sin(2 * np.pi * 440 * time) + 1e-3 * generator.standard_normal(16000),
            np.zeros(16000),
        ]
    ).astype(np.float32)


def test_mfcc_is_its_definition() -> None:
    waveforms = some_sounds()
    features = mfcc(waveforms)
    assert features.shape == (3, 49, 10)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, np.stack([written_out(x) for x in waveforms]), rtol=1e-3, atol=2e-3)


def test_log_mel_is_its_definition() -> None:
    waveforms = some_sounds()
    features = log_mel(waveforms)
    assert features.shape == (3, 49, 10)
    assert features.dtype == np.float32
    expected = np.stack([log_mel_written_out(x.astype(np.float64)) for x in waveforms])
    assert np.ptp(expected[:2]) > 0.4 and not expected[2].any()
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_a_clip_has_the_same_features_in_any_batch() -> None:
    waveforms = np.random.default_rng(1).uniform(-1, 1, (5, 16000)).astype(np.float32)
    np.testing.assert_allclose(mfcc(waveforms)[3:4], mfcc(waveforms[3:4]), rtol=1e-5, atol=1e-5)
