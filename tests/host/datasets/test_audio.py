import io
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reds.datasets.audio import decode_wav, one_second, read_wav, resample, synthetic_noise, to_pcm, to_waveform
from reds.errors import UsageError


def wav_bytes(samples: np.ndarray, rate: int = 16000, channels: int = 1) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples.astype("<i2").tobytes())
    return content.getvalue()


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(-32768, 32767), max_size=50))
def test_pcm_survives_wav_and_waveform(values: list[int]) -> None:
    samples = np.array(values, np.int16)
    decoded, rate = decode_wav(wav_bytes(samples), "x.wav")
    assert rate == 16000
    np.testing.assert_array_equal(decoded, samples)
    np.testing.assert_array_equal(to_pcm(to_waveform(samples)), samples)


def test_a_streamed_wav_does_not_know_its_length() -> None:
    content = bytearray(wav_bytes(np.arange(10)))
    content[40:44] = (0x7FFFF000).to_bytes(4, "little")
    np.testing.assert_array_equal(decode_wav(bytes(content), "x.wav")[0], np.arange(10))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a WAV"),
        (b"RIFF nonsense", "not a WAV"),
        (wav_bytes(np.zeros(8), channels=2), "2 channel"),
        (wav_bytes(np.zeros(8), rate=44100), "44100 Hz"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=rf"clip\.wav.*{message}"):
        read_wav(path)


def test_short_clips_are_padded_at_the_end_and_long_ones_cut() -> None:
    short = one_second(np.ones(100, np.int16))
    assert short.shape == (16000,)
    assert short[:100].all()
    assert not short[100:].any()
    np.testing.assert_array_equal(one_second(np.arange(20000, dtype=np.int16)), np.arange(16000))


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(2000, 30000), st.floats(100, 7000), st.sampled_from([(22050, 16000), (16000, 22050), (8000, 16000)]))
def test_resampling_keeps_a_tone(length: int, hertz: float, rates: tuple[int, int]) -> None:
    rate, new_rate = rates
    hertz = min(hertz, 0.4 * min(rates))

    def tone(rate: int, count: int) -> np.ndarray:
        time = np.arange(count) / rate
        # A smooth start and end, so that the tone has no frequencies that the lower rate cannot hold.
        envelope = np.sin(np.pi * np.clip(time * rate / count, 0, 1)) ** 2
        return envelope * np.sin(2 * np.pi * hertz * time)

    resampled = resample(tone(rate, length).astype(np.float32), rate, new_rate)
    assert len(resampled) == -(-length * new_rate // rate)
    time = np.arange(len(resampled)) / new_rate
    expected = np.sin(np.pi * np.clip(time * rate / length, 0, 1)) ** 2 * np.sin(2 * np.pi * hertz * time)
    np.testing.assert_allclose(resampled, expected, atol=2e-3)


def test_resampling_removes_what_the_lower_rate_cannot_hold() -> None:
    time = np.arange(22050) / 22050
    too_high = (np.hanning(22050) * np.sin(2 * np.pi * 10000 * time)).astype(np.float32)
    assert np.abs(resample(too_high, 22050, 16000)).max() < 1e-3


def test_noises_have_their_colour() -> None:
    noises = synthetic_noise(64000, np.random.default_rng(0))
    assert all(noise.shape == (64000,) and np.abs(noise).max() == pytest.approx(1) for noise in noises)

    def decibel(noise: np.ndarray, hertz: float) -> float:
        power = np.abs(np.fft.rfft(noise)) ** 2
        frequencies = np.fft.rfftfreq(len(noise), 1 / 16000)
        return float(10 * np.log10(power[(frequencies > hertz / 1.2) & (frequencies < hertz * 1.2)].mean()))

    for noise, per_decade in zip(noises, (0, -10, -20), strict=False):
        assert decibel(noise, 4000) - decibel(noise, 400) == pytest.approx(per_decade, abs=1)
