"""What is saved is loaded again, for every class of the graph."""

from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_supernet

from reds.errors import UsageError
from reds.graph import Family, Graph, Ranked, Solution, Subnetwork, Supernet
from reds.store import load, save


def assert_equal(actual: Any, expected: Any) -> None:
    """Equality of dataclasses, mappings, tuples and arrays, to the type and the bit."""
    if isinstance(expected, np.ndarray):
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(actual, expected)
    elif is_dataclass(expected):
        assert type(actual) is type(expected)
        for field in fields(expected):
            assert_equal(getattr(actual, field.name), getattr(expected, field.name))
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key in expected:
            assert_equal(actual[key], expected[key])
    elif isinstance(expected, tuple):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_equal(one, other)
    else:
        assert actual == expected


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "value.npz"


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_random_families_come_back(path: Path, seed: int) -> None:
    supernet = random_supernet(seed)
    family = supernet.family
    values = (supernet, family, family.graph, Ranked(family.graph, family.importance, "l1", family.exits))
    for value in values:
        save(path, value)
        assert_equal(load(path, type(value)), value)


def test_a_solution_comes_back_exactly(path: Path) -> None:
    solution = Solution(np.float64(1 / 3), "macs", 0.1, float("inf"), 1e-300)
    graph = random_supernet(0).family.graph
    subnetworks = (Subnetwork("full", (np.int64(3),)), Subnetwork("narrow", (2,), solution=solution))
    save(path, Family(graph, (), (), subnetworks))
    again = load(path, Family)
    assert again.subnetworks[1].solution == solution
    assert again.subnetworks[0].solution is None


def test_another_class_than_asked_for(path: Path) -> None:
    save(path, random_supernet(0))
    with pytest.raises(UsageError, match="must hold a Graph; it holds a Supernet"):
        load(path, Graph)


def test_every_damage_is_one_error(path: Path) -> None:
    save(path, random_supernet(3))
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for length in (0, 1, 30, *generator.integers(0, len(content), 40)):
        path.write_bytes(content[:length])
        with pytest.raises(UsageError, match="Cannot read"):
            load(path, Supernet)
    for position in generator.integers(0, len(content), 60):
        flipped = bytearray(content)
        flipped[position] ^= 1 << generator.integers(8)
        path.write_bytes(bytes(flipped))
        with suppress(UsageError):  # a flip in what the archive does not use may go unseen
            load(path, Supernet)


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "foreign.npz"
    with pytest.raises(UsageError, match="No such file"):
        load(path, Graph)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(UsageError, match="Cannot read"):
        load(path, Graph)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UsageError, match="Cannot read"):
        load(path, Graph)
    np.savez(path, structure=np.frombuffer(b'{"type": "NoSuchClass"}', np.uint8))
    with pytest.raises(UsageError, match="Cannot read"):
        load(path, Graph)
