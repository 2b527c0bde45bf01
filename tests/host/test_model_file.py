"""Reading a file back: what was written comes back, and any damage is one clear error."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_supernet

from reds.compiled import CompiledNetwork
from reds.emitting import encode, extract
from reds.errors import UsageError
from reds.inspecting import inspect
from reds.model_file import checksum, decode, read_model_file, stored_checksum, with_checksum
from reds.plan import pack_plan
from reds.quantizing import quantize
from reds.runtime import Runtime
from reds.truncating import fitted


def compiled(seed: int, type: str) -> CompiledNetwork:
    supernet = random_supernet(seed)
    samples = np.random.default_rng(seed).standard_normal((32, *supernet.family.graph.input_shape), np.float32)
    return quantize(supernet, type, samples)


@pytest.fixture(scope="module")
def content() -> bytes:
    return encode(compiled(1, "int8"))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["int8", "float32"]))
def test_a_network_comes_back_with_the_same_plan_and_weights(seed: int, type: str) -> None:
    network = compiled(seed, type)
    first = read_model_file(encode(network))
    decoded = decode(first)
    second = read_model_file(encode(decoded))
    first.plan.crc32 = second.plan.crc32 = 1
    assert pack_plan(second.plan) == pack_plan(first.plan)
    for layer, original in zip(decoded.layers, fitted(network).layers, strict=True):
        np.testing.assert_array_equal(layer.weights, original.weights)
        assert (layer.name, layer.inputs, layer.subgraph) == (original.name, original.inputs, original.subgraph)


def test_every_cut_is_a_usage_error(content: bytes) -> None:
    generator = np.random.default_rng(0)
    for length in {*range(16), *map(int, generator.integers(0, len(content), 120)), len(content) - 1}:
        with pytest.raises(UsageError):
            read_model_file(content[:length])


def test_every_flipped_bit_is_a_usage_error(content: bytes) -> None:
    generator = np.random.default_rng(1)
    for position in {*range(64), *map(int, generator.integers(0, len(content), 400))}:
        flipped = bytearray(content)
        flipped[position] ^= 1 << generator.integers(8)
        with pytest.raises(UsageError):
            read_model_file(bytes(flipped))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_usage_error(content: bytes) -> None:
    for candidate in (content, content[:4] + b"TFL3" + content[4:]):
        with pytest.raises(UsageError):
            read_model_file(candidate)


def test_the_checksum_leaves_out_itself(content: bytes) -> None:
    assert checksum(content) == stored_checksum(content)
    assert with_checksum(content) == content
    longer = content + b"\0"
    assert checksum(longer) != stored_checksum(longer)


def test_an_extracted_model_says_that_it_has_no_subnetworks(content: bytes) -> None:
    with pytest.raises(UsageError, match="without the metadata entry 'REDS'"):
        inspect(extract(content, 1))


def test_the_host_and_libreds_read_the_same_table(content: bytes) -> None:
    for row, info in zip(inspect(content).subnetworks, Runtime(content).subnetworks, strict=True):
        assert (row.name, row.exit, row.macs, row.parameters, row.flash_bytes, row.arena_bytes) == (
            *(info.name, info.exit, info.macs, info.parameters, info.flash_bytes, info.arena_bytes),
        )


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_model_file(tmp_path / "absent.tflite")
    with pytest.raises(UsageError, match="Is a directory"):
        read_model_file(tmp_path)
