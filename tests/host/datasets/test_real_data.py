"""The loaders on real files, where REDS_DATA names a folder that has them."""

import os

import numpy as np
import pytest

from reds.datasets import Dataset, load
from reds.errors import UsageError


def real(name: str) -> Dataset:
    """The data set, or a skipped test that says what is missing."""
    if not os.environ.get("REDS_DATA"):
        pytest.skip("REDS_DATA does not name a folder with real data sets")
    try:
        return load(name)
    except UsageError as error:
        pytest.skip(str(error))


def test_speech_commands_has_every_class_in_every_split() -> None:
    dataset = real("speech_commands")
    for split in (dataset.train, dataset.validation, dataset.test):
        assert set(split.labels) == set(range(12))
        x, y = split.features()
        assert x.shape == (len(y), 49, 10, 1)
        assert np.isfinite(x).all()


def test_fashion_mnist_is_the_official_one() -> None:
    dataset = real("fashion_mnist")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (55_000, 5_000, 10_000)
    assert (np.bincount(dataset.test.labels) == 1_000).all()
    assert (np.bincount(np.concatenate([dataset.train.labels, dataset.validation.labels])) == 6_000).all()
