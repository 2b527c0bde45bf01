"""The table of a file."""

import json
from pathlib import Path

import numpy as np
import pytest
from random_networks import random_supernet_with_exit

from reds.emitting import emit
from reds.inspecting import inspect


@pytest.mark.parametrize("type", ["int8", "float32"])
def test_the_table_says_what_was_emitted(tmp_path: Path, type: str) -> None:
    supernet = random_supernet_with_exit(4)
    family = supernet.family
    samples = np.zeros((4, *family.graph.input_shape), np.float32)
    path = emit(supernet, tmp_path / "model.tflite", type, samples)
    report = inspect(path)
    assert report == inspect(path.read_bytes()) == inspect(str(path))
    assert report.element_type == type
    assert report.file_bytes == path.stat().st_size
    assert report.input_shape == (1, *family.graph.input_shape)
    assert report.output_shape == (1, *family.graph.output_shape)
    assert [row.name for row in report.subnetworks] == [subnetwork.name for subnetwork in family.subnetworks]
    assert [row.widths for row in report.subnetworks] == [subnetwork.widths for subnetwork in family.subnetworks]
    assert [row.exit for row in report.subnetworks] == ["output"] * 3 + ["exit"]
    assert all(row.accuracy is None and row.targets == {} for row in report.subnetworks)
    json.dumps(report.as_dict(), allow_nan=False)
