"""The speech front ends: 10 mel-frequency cepstral coefficients of 40 ms, or 10 log mel energies of 30 ms, every 20 ms.

Sources: Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", 2017, section 3, with the filter bank of the
Speech Commands reference (40 mel bands from 20 Hz to 4 kHz). Banbury et al., "MLPerf Tiny Benchmark", 2021, for the log
mel energies, with the bands of De Leon and Atienza, "Depth Pruning with Auxiliary Networks for TinyML", 2022.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from reds.datasets.dataset import Features, Samples

SAMPLE_RATE = 16_000
CLIP_SAMPLES = SAMPLE_RATE
FRAME_SAMPLES = 640
STEP_SAMPLES = 320
FFT_SAMPLES = 1024
MEL_BANDS = 40
LOWEST_HERTZ, HIGHEST_HERTZ = 20.0, 4000.0
LOG_OFFSET = 1e-6
COEFFICIENTS = 10
FRAMES = 1 + (CLIP_SAMPLES - FRAME_SAMPLES) // STEP_SAMPLES

LOG_MEL_FRAME_SAMPLES = 480
LOG_MEL_FFT_SAMPLES = 512
LOG_MEL_BANDS = 10
LOG_MEL_LOWEST_HERTZ, LOG_MEL_HIGHEST_HERTZ = 125.0, 7500.0
PRE_EMPHASIS = 1 - 2**-5
LEAST_POWER = 1e-30
QUIETEST_DECIBEL, DECIBEL_RANGE = -52.0, 64.0


def mfcc(waveforms: Samples) -> Features:
    """Mel-frequency cepstral coefficients.

    Args:
        waveforms: 16 kHz audio in [-1, 1], shape (clips, 16000).

    Returns:
        Coefficients of shape (clips, 49, 10).
    """
    return np.asarray(_compiled_mfcc()(waveforms.astype(np.float32)))


def log_mel(waveforms: Samples) -> Features:
    """Mel energies in decibels, 64 of them as the range from 0 to 1.

    Args:
        waveforms: 16 kHz audio in [-1, 1], shape (clips, 16000).

    Returns:
        Energies in [0, 1] of shape (clips, 49, 10).
    """
    return np.asarray(_compiled_log_mel()(waveforms.astype(np.float32)))


@cache
def _compiled_mfcc() -> Callable[[Features], Any]:
    import tensorflow as tf

    mel_bank = tf.signal.linear_to_mel_weight_matrix(
        MEL_BANDS, FFT_SAMPLES // 2 + 1, SAMPLE_RATE, LOWEST_HERTZ, HIGHEST_HERTZ
    )

    @tf.function(input_signature=[tf.TensorSpec([None, CLIP_SAMPLES], tf.float32)])
    def compiled(waveforms: Any) -> Any:
        # An accelerator is better left to the network, and the CPU gives the same features everywhere.
        with tf.device("/CPU:0"):
            spectra = tf.abs(tf.signal.stft(waveforms, FRAME_SAMPLES, STEP_SAMPLES, FFT_SAMPLES))
            log_mel = tf.math.log(spectra @ mel_bank + LOG_OFFSET)
            return tf.signal.mfccs_from_log_mel_spectrograms(log_mel)[..., :COEFFICIENTS]

    return compiled


@cache
def _compiled_log_mel() -> Callable[[Features], Any]:
    import tensorflow as tf

    mel_bank = tf.signal.linear_to_mel_weight_matrix(
        LOG_MEL_BANDS, LOG_MEL_FFT_SAMPLES // 2 + 1, SAMPLE_RATE, LOG_MEL_LOWEST_HERTZ, LOG_MEL_HIGHEST_HERTZ
    )

    def window(samples: int, dtype: Any) -> Any:
        return tf.signal.hamming_window(samples, periodic=False, dtype=dtype)

    @tf.function(input_signature=[tf.TensorSpec([None, CLIP_SAMPLES], tf.float32)])
    def compiled(waveforms: Any) -> Any:
        # An accelerator is better left to the network, and the CPU gives the same features everywhere.
        with tf.device("/CPU:0"):
            before = tf.pad(waveforms[:, :-1], [[0, 0], [1, 0]])
            emphasized = waveforms - PRE_EMPHASIS * before
            spectra = tf.signal.stft(emphasized, LOG_MEL_FRAME_SAMPLES, STEP_SAMPLES, LOG_MEL_FFT_SAMPLES, window)
            power = tf.maximum(tf.abs(spectra) ** 2 / LOG_MEL_FRAME_SAMPLES, LEAST_POWER)
            decibel = 10 / math.log(10) * tf.math.log(power @ mel_bank)
            return tf.clip_by_value((decibel - QUIETEST_DECIBEL) / DECIBEL_RANGE, 0.0, 1.0)

    return compiled
