"""Over how many devices and processes a batch is spread, by `tf.distribute` or by `keras.distribution` on JAX."""

from dataclasses import dataclass

import keras

from reds.errors import UsageError


@dataclass(frozen=True)
class Spread:
    """Devices that take equal shares of every batch."""

    devices: int = 1
    """Of all processes."""
    processes: int = 1
    process: int = 0
    """Number of this process, from 0."""


def count_replicas() -> int:
    """Copies of the model in whose sums a batch has to be brought together.

    Returns:
        The replicas of the `tf.distribute` strategy in whose scope this runs; 1 without. Also 1 with JAX, where
        `keras.distribution` makes one program of all devices, in which a sum over a batch is one over all of it.
    """
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def current_spread() -> Spread:
    """How batches are spread in the scope in which this runs.

    Raises:
        UsageError: in the scope of a strategy that Keras cannot train with.
    """
    if keras.backend.backend() != "jax":
        _refuse_several_workers()
        return Spread(count_replicas())
    distribution = keras.distribution.distribution()
    if distribution is None:
        return Spread()
    import jax

    return Spread(distribution.device_mesh.devices.size, jax.process_count(), jax.process_index())


def _refuse_several_workers() -> None:
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    if isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        raise UsageError(
            "Keras 3 cannot train under tf.distribute.MultiWorkerMirroredStrategy. For several machines set "
            "KERAS_BACKEND=jax, call jax.distributed.initialize and keras.distribution.set_distribution."
        )
