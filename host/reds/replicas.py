"""How many devices share a batch under `tf.distribute`."""

import keras


def count_replicas() -> int:
    """Replicas of the strategy in whose scope this runs.

    Returns:
        1 without a strategy. Also 1 with JAX, where `keras.distribution` makes one program of all devices, in which
        every sum over a batch is one over all of it.
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return int(tf.distribute.get_strategy().num_replicas_in_sync)
