"""Keyword spotting: the twelve classes, and the way from a one-second clip to what the network reads.

Source: Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018, and its reference recipe.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple

import numpy as np

from reds.datasets.audio import Pcm, Waveform, to_pcm, to_waveform
from reds.datasets.dataset import Features, Samples, Shape
from reds.datasets.features import CLIP_SAMPLES, COEFFICIENTS, FRAMES, SAMPLE_RATE, log_mel, mfcc
from reds.errors import UsageError

SILENCE, UNKNOWN = "silence", "unknown"
TARGET_WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
CLASSES = (SILENCE, UNKNOWN, *TARGET_WORDS)
# fmt: off
OTHER_WORDS = (
    "backward", "bed", "bird", "cat", "dog", "eight", "five", "follow", "forward", "four", "happy", "house", "learn",
    "marvin", "nine", "one", "seven", "sheila", "six", "three", "tree", "two", "visual", "wow", "zero",
)
# fmt: on
SILENCE_FRACTION = UNKNOWN_FRACTION = 0.1
"""Share of the two extra classes, relative to the clips of all target words together."""

LARGEST_SHIFT = SAMPLE_RATE // 10
NOISE_PROBABILITY = 0.8
LARGEST_NOISE_VOLUME = 0.1

FEATURE_SHAPE = (FRAMES, COEFFICIENTS, 1)
LOG_MEL_SHAPE = (prod(FEATURE_SHAPE),)
"""A vector of this length is what front ends on microcontrollers hand over: log mel energies, frame by frame."""


@dataclass(frozen=True, eq=False)
class SpeechPreprocessing:
    """Time shift and background noise in training; MFCC or log mel energies always.

    Args:
        noise: Recordings to cut background noise from.
        output_shape: Any map of 49 x 10 values, or any shape of 25 x 10: MFCC, of the latter frames every 40 ms instead
            of 20, for the DNN. A vector of 490 values: log mel energies.
    """

    noise: Sequence[Waveform]
    output_shape: Shape = FEATURE_SHAPE

    is_slow = True

    def with_output_shape(self, shape: Shape) -> "SpeechPreprocessing":
        if prod(shape) not in (prod(FEATURE_SHAPE), _half_size()):
            raise UsageError(
                f"The network reads inputs of shape {shape}, but speech comes as {FEATURE_SHAPE} or any shape of "
                f"{prod(FEATURE_SHAPE)} or {_half_size()} values, as {LOG_MEL_SHAPE} in log mel energies: choose a "
                "network that reads one of these."
            )
        return replace(self, output_shape=shape)

    def augment(self, samples: Samples, generator: np.random.Generator) -> Waveform:
        """Shifts each clip by up to 100 ms, zero padded, and adds background noise to four of five.

        Args:
            samples: Clips of shape (clips, 16000), int16 or float32.
            generator: Source of chance.
        """
        waveforms = to_waveform(samples)
        varied = np.zeros_like(waveforms)
        for clip, waveform in zip(varied, waveforms, strict=True):
            _shift_into(clip, waveform, int(generator.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1)))
            if generator.random() < NOISE_PROBABILITY:
                volume = np.float32(generator.uniform(0, LARGEST_NOISE_VOLUME))
                clip += volume * random_cut(self.noise, generator)
        return np.clip(varied, -1.0, 1.0, out=varied)

    def features(self, samples: Samples) -> Features:
        waveforms = to_waveform(samples)
        if self.output_shape == LOG_MEL_SHAPE:
            return log_mel(waveforms).reshape(-1, *LOG_MEL_SHAPE)
        coefficients = mfcc(waveforms)
        if prod(self.output_shape) == _half_size():
            coefficients = coefficients[:, ::2]
        return coefficients.reshape(-1, *self.output_shape)


class Clips(NamedTuple):
    """Samples of a split with their labels."""

    samples: Pcm
    labels: np.ndarray


def silence_clips(noise: Sequence[Waveform], count: int, generator: np.random.Generator) -> Pcm:
    """One-second cuts of background noise at random volumes, shape (count, 16000)."""
    cuts = np.empty((count, CLIP_SAMPLES), np.int16)
    for index in range(count):
        cuts[index] = to_pcm(np.float32(generator.random()) * random_cut(noise, generator))
    return cuts


def random_cut(noise: Sequence[Waveform], generator: np.random.Generator) -> Waveform:
    """One second of one of the recordings."""
    recording = noise[int(generator.integers(len(noise)))]
    start = generator.integers(len(recording) - CLIP_SAMPLES + 1)
    return recording[start : start + CLIP_SAMPLES]


def _half_size() -> int:
    return (FRAMES + 1) // 2 * COEFFICIENTS


def _shift_into(destination: Waveform, waveform: Waveform, shift: int) -> None:
    """Writes a waveform shift samples later (earlier if negative)."""
    if shift >= 0:
        destination[shift:] = waveform[: len(waveform) - shift]
    else:
        destination[:shift] = waveform[-shift:]
