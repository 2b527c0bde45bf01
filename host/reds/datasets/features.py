"""The speech front end: 10 mel-frequency cepstral coefficients of 40 ms every 20 ms.

Source: Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", 2017, section 3, with the filter bank of the
Speech Commands reference (40 mel bands from 20 Hz to 4 kHz).
"""

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


def mfcc(waveforms: Samples) -> Features:
    """Mel-frequency cepstral coefficients.

    Args:
        waveforms: 16 kHz audio in [-1, 1], shape (clips, 16000).

    Returns:
        Coefficients of shape (clips, 49, 10).
    """
    return np.asarray(_compiled_mfcc()(waveforms.astype(np.float32)))


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
