"""Fine-tunes a saved family in one of several ways and prints the losses as JSON.

python train_distributed.py FAMILY.npz WAY [PROCESS PORT], with WAY one of

    alone       one device
    mirrored    two devices, tf.distribute.MirroredStrategy
    workers     tf.distribute.MultiWorkerMirroredStrategy
    devices     two devices, keras.distribution.DataParallel
    processes   two processes with a device each, keras.distribution.DataParallel
"""

import json
import os
import sys
from contextlib import nullcontext
from typing import Any

import keras
import numpy as np

from reds.datasets import Dataset
from reds.errors import UsageError
from reds.finetuning import finetune
from reds.graph import Family
from reds.store import load

WAY = sys.argv[2]


def make_dataset(shape: tuple[int, ...], classes: int) -> Dataset:
    """Noisy copies of one picture per class."""
    generator = np.random.default_rng(0)
    pictures = generator.normal(size=(classes, *shape))

    def split(size: int) -> tuple[np.ndarray, np.ndarray]:
        labels = generator.integers(0, classes, size)
        return pictures[labels] + 0.5 * generator.normal(size=(size, *shape)), labels

    return Dataset.from_arrays(split(200), split(60), split(60))


def scope() -> Any:
    """The context to train in."""
    if WAY == "devices":
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    if WAY == "processes":
        import jax

        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{sys.argv[4]}", 2, int(sys.argv[3]))
    if WAY in ("devices", "processes"):
        devices = keras.distribution.list_devices()
        distribution = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
        keras.distribution.set_distribution(distribution)
    if WAY not in ("mirrored", "workers"):
        return nullcontext()
    import tensorflow as tf

    if WAY == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy().scope()
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()


def main() -> None:
    """Trains and prints."""
    losses: list[float] = []
    with scope():
        family = load(sys.argv[1], Family)
        dataset = make_dataset(family.graph.input_shape, family.graph.output_shape[0])
        try:
            finetune(family, dataset, 2, batch_size=40, progress=lambda report: losses.append(report.loss))
        except UsageError as error:
            print(json.dumps(str(error)))
            return
    print(json.dumps(losses))


if __name__ == "__main__":
    main()
