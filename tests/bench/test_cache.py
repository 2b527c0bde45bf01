"""libreds' fully connected kernel reads weights in memory order, and a simulated cache shows it."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from model_builder import LayerSpec, NetworkBuilder

from reds.compiled import EMITTED_TYPES, ElementType
from reds.graph import Dense

SCRIPT = Path(__file__).parents[2] / "bench" / "experiments" / "cache.py"
SPECS = [LayerSpec(Dense(), 96, "relu"), LayerSpec(Dense(), 144, "relu"), LayerSpec(Dense(), 12)]
NARROW = [40, 75, 12]
BYTES = {ElementType.INT8: 1, ElementType.FLOAT32: 4}

PUBLISHED_HIT_RATE = 0.97
"""REDS, IEEE TMC 25(1), table V: of all accesses to a microcontroller's cache, instructions included."""


@pytest.fixture(scope="module")
def cache() -> ModuleType:
    """The experiment, with its programs built."""
    if shutil.which("valgrind") is None:
        pytest.skip("needs the Debian package valgrind")
    spec = importlib.util.spec_from_file_location("cache", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    module.build_programs()
    return module


@pytest.mark.parametrize("element_type", EMITTED_TYPES)
def test_every_prefix_reads_each_line_of_its_weights_once(cache: ModuleType, element_type: ElementType) -> None:
    network = NetworkBuilder(element_type, (1, 1, 250), seed=1).build(SPECS, [NARROW])
    for walk in cache.walks("test", network, orders=(cache.LIBREDS,)):
        assert walk.kernel.reads > 2 * walk.weight_loads
        # With two ways, the weights that pass by may push out a line that every channel reads.
        channels = sum(int(width) for width in walk.subnetwork.split("-"))
        assert 0.95 * walk.lines < walk.weight_misses <= walk.lines + channels
        assert walk.access_hit_rate >= PUBLISHED_HIT_RATE
        if element_type is ElementType.INT8:
            assert walk.read_hit_rate >= PUBLISHED_HIT_RATE


def test_another_order_is_seen_to_miss_more(cache: ModuleType) -> None:
    network = NetworkBuilder(ElementType.FLOAT32, (1, 1, 250), seed=1).build(SPECS)
    ours, columns = cache.walks("test", network, orders=(cache.LIBREDS, "input_outer"))
    # Twice as many, but for a few lines at row ends, which depend on where the heap begins.
    assert columns.weight_misses > 1.99 * ours.weight_misses
