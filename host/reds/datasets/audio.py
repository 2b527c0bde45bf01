"""Audio clips: reading, resampling, cutting, and the sound of noise."""

import io
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.datasets.features import CLIP_SAMPLES, SAMPLE_RATE
from reds.errors import UsageError

Waveform = NDArray[np.float32]
"""Samples in [-1, 1]."""
Pcm = NDArray[np.int16]

PCM_SCALE = 32768.0


def decode_wav(content: bytes, origin: str) -> tuple[Pcm, int]:
    """Samples and sample rate of a 16-bit mono WAV.

    Args:
        content: The WAV's bytes. A streamed WAV, whose header does not know the length, is fine.
        origin: What error messages call it.

    Raises:
        UsageError: It is not a 16-bit mono WAV.
    """
    try:
        with wave.open(io.BytesIO(content)) as reader:
            form = (reader.getnchannels(), 8 * reader.getsampwidth())
            data, rate = reader.readframes(reader.getnframes()), reader.getframerate()
    except (wave.Error, EOFError) as error:
        raise UsageError(f"{origin} is not a WAV file ({error}); replace or delete it.") from error
    if form != (1, 16):
        raise UsageError(f"{origin} has {form[0]} channel(s) of {form[1]} bits, but one of 16 bits is needed.")
    return np.frombuffer(data, "<i2", count=len(data) // 2).astype(np.int16), rate


def read_wav(path: Path) -> Pcm:
    """Samples of a 16 kHz, 16-bit mono WAV file.

    Raises:
        UsageError: The file has another format.
    """
    samples, rate = decode_wav(path.read_bytes(), str(path))
    if rate != SAMPLE_RATE:
        raise UsageError(f"{path} has a sample rate of {rate} Hz, but {SAMPLE_RATE} Hz is needed.")
    return samples


def one_second(samples: Pcm) -> Pcm:
    """The first second of a clip, zero padded at the end."""
    clip = np.zeros(CLIP_SAMPLES, np.int16)
    clip[: len(samples)] = samples[:CLIP_SAMPLES]
    return clip


def to_waveform(samples: NDArray[np.generic]) -> Waveform:
    """16-bit samples as values in [-1, 1]; a waveform stays what it is."""
    if samples.dtype == np.int16:
        return samples.astype(np.float32) / np.float32(PCM_SCALE)
    return samples.astype(np.float32, copy=False)


def to_pcm(waveform: Waveform) -> Pcm:
    """A waveform as 16-bit samples, clipped."""
    return np.clip(np.rint(waveform * PCM_SCALE), -PCM_SCALE, PCM_SCALE - 1).astype(np.int16)


def resample(waveform: Waveform, rate: int, new_rate: int) -> Waveform:
    """Band-limited resampling: the spectrum is cut or extended to the new rate.

    Args:
        waveform: Shape (samples,).
        rate: Its sample rate in Hz.
        new_rate: The wanted sample rate in Hz.

    Returns:
        The same sound, shape (ceil(samples * new_rate / rate),).
    """
    common = int(np.gcd(rate, new_rate))
    up, down = new_rate // common, rate // common
    # A whole number of periods of both rates; a period of silence keeps the end from wrapping into the start.
    periods = -(-len(waveform) // down) + 1
    spectrum = np.fft.rfft(waveform, periods * down)
    if up < down:
        # The highest bin stands for a conjugate pair in the longer signal and for itself in the shorter.
        spectrum[periods * up // 2] = 0.0
    resampled = np.fft.irfft(spectrum, periods * up) * (up / down)
    return resampled[: -(-len(waveform) * up // down)].astype(np.float32)


def synthetic_noise(samples: int, generator: np.random.Generator) -> list[Waveform]:
    """White, pink and brown noise and mains hum, each with a peak of 1.

    Args:
        samples: Length of each at 16 kHz.
        generator: Source of chance.
    """
    spectra = [_coloured_noise(samples, exponent, generator) for exponent in (0.0, 0.5, 1.0)]
    return [(noise / np.abs(noise).max()).astype(np.float32) for noise in [*spectra, _hum(samples, generator)]]


def _coloured_noise(samples: int, exponent: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Noise whose amplitude falls as 1 / frequency ** exponent above 20 Hz."""
    frequencies = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE)
    spectrum = np.fft.rfft(generator.standard_normal(samples))
    return np.fft.irfft(spectrum / np.maximum(frequencies, 20.0) ** exponent, samples)


def _hum(samples: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Harmonics of 50 Hz in random strength over a little white noise."""
    time = np.arange(samples) / SAMPLE_RATE
    hum = 0.02 * generator.standard_normal(samples)
    for harmonic in range(1, 20):
        phase = generator.uniform(0, 2 * np.pi)
        hum += generator.uniform(0, 1 / harmonic) * np.sin(2 * np.pi * 50 * harmonic * time + phase)
    return hum
