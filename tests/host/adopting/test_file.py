"""What adopting writes: the entry and nothing else; and whatever libreds runs can be adopted."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tflite
from converted_models import TYPES, converted
from hypothesis import given, settings
from hypothesis import strategies as st
from model_builder import LayerSpec, NetworkBuilder
from random_networks import random_supernet

import reds
from reds.adopting import with_plan
from reds.compiled import ElementType
from reds.emitting import annotate, encode, extract
from reds.emitting.standard import pack_again
from reds.errors import UsageError
from reds.graph import Activation, Conv2D, Dense, Pool2D
from reds.model_file import read_model_file
from reds.plan import TargetCosts, pack_plan
from reds.quantizing import quantize
from reds.reference import run_tflite_micro
from reds.runtime import Runtime
from reds.schema import conventions
from reds.verifying import random_inputs


def content_of(value: object) -> object:
    """A FlatBuffers object as plain values, to compare."""
    if isinstance(value, list):
        return [content_of(element) for element in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return {name: content_of(field) for name, field in vars(value).items()} if hasattr(value, "__dict__") else value


@pytest.mark.parametrize("name", ["plain", "residual", "reshaped"])
@pytest.mark.parametrize("type", TYPES)
def test_only_the_entry_is_added(name: str, type: str) -> None:
    before = tflite.ModelT.InitFromPackedBuf(converted(name, type))
    after = tflite.ModelT.InitFromPackedBuf(with_plan(converted(name, type)))
    entry = after.metadata.pop()
    assert entry.name == conventions.METADATA_NAME.encode()
    assert entry.buffer == len(after.buffers) - 1
    after.buffers.pop()
    assert content_of(after) == content_of(before)


def test_an_archive_of_labels_stays() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("labels.txt", "cat\ndog")
    content = converted("plain", "int8")
    adopted = with_plan(content + archive.getvalue())
    with zipfile.ZipFile(io.BytesIO(adopted)) as reader:
        assert reader.read("labels.txt") == b"cat\ndog"
    inputs = np.zeros((1, 12, 12, 3), np.int8)
    np.testing.assert_array_equal(Runtime(adopted).invoke(inputs), run_tflite_micro(content, inputs))


@pytest.mark.parametrize("name", ["residual", "series"])
def test_a_border_that_is_given(name: str) -> None:
    """PADV2 has what PAD fills in as a third input."""
    content = converted(name, "int8")
    named = with_borders(content, 0)
    inputs = random_inputs(with_plan(named), 5)
    np.testing.assert_array_equal(Runtime(with_plan(named)).invoke(inputs), run_tflite_micro(content, inputs))
    with pytest.raises(UsageError, match=r"PADV2.*another value than zero"):
        with_plan(with_borders(content, 1))


def with_borders(content: bytes, difference: int) -> bytes:
    """A model whose PAD operators are PADV2 with the zero point and a difference as the border."""
    model = tflite.ModelT.InitFromPackedBuf(content)
    subgraph = model.subgraphs[0]
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode != tflite.BuiltinOperator.PAD:
            continue
        code.builtinCode = code.deprecatedBuiltinCode = tflite.BuiltinOperator.PADV2
        for operator in subgraph.operators:
            if operator.opcodeIndex == index:
                output = subgraph.tensors[operator.outputs[0]]
                border, buffer = tflite.TensorT(), tflite.BufferT()
                border.name, border.shape, border.type = "border", np.array([1], np.int32), tflite.TensorType.INT8
                border.buffer, border.quantization = len(model.buffers), output.quantization
                buffer.data = np.array([output.quantization.zeroPoint[0] + difference], np.int8).view(np.uint8)
                model.buffers.append(buffer)
                subgraph.tensors.append(border)
                operator.inputs = np.array([*operator.inputs[:2], len(subgraph.tensors) - 1], np.int32)
                operator.builtinOptionsType = tflite.BuiltinOptions.PadV2Options
                operator.builtinOptions = tflite.PadV2OptionsT()
    return pack_again(model, content)


@pytest.mark.parametrize(("name", "packs"), [("series", True), ("stacked", False)])
def test_one_tensor_that_is_stacked_or_taken_apart(name: str, packs: bool) -> None:
    """Of one, PACK and UNPACK only add and remove a dimension, as the reshape does that stands in their place."""
    content = with_one_of(converted(name, "int8"), packs)
    adopted = with_plan(content)
    inputs = random_inputs(adopted, 5)
    np.testing.assert_array_equal(Runtime(adopted).invoke(inputs), run_tflite_micro(content, inputs))
    assert extract(adopted, 0) == extract(with_plan(converted(name, "int8")), 0)


def with_one_of(content: bytes, packs: bool) -> bytes:
    """A model with a PACK or UNPACK in place of the first operator that only adds, or removes, a dimension of one."""
    model = tflite.ModelT.InitFromPackedBuf(content)
    tensors, code = model.subgraphs[0].tensors, tflite.OperatorCodeT()
    for operator in model.subgraphs[0].operators:
        shorter, longer = (
            tensors[ends[0]].shape for ends in (operator.inputs, operator.outputs)[:: 1 if packs else -1]
        )
        axis = next((axis for axis in range(1, len(longer)) if list(np.delete(longer, axis)) == list(shorter)), None)
        if axis is not None and longer[axis] == 1:
            break
    kinds = (tflite.PackOptionsT, "PACK", "Pack") if packs else (tflite.UnpackOptionsT, "UNPACK", "Unpack")
    code.builtinCode = code.deprecatedBuiltinCode = getattr(tflite.BuiltinOperator, kinds[1])
    operator.builtinOptions, operator.builtinOptionsType = (
        kinds[0](),
        getattr(tflite.BuiltinOptions, f"{kinds[2]}Options"),
    )
    vars(operator.builtinOptions).update({"axis": axis, "valuesCount" if packs else "num": 1})
    model.operatorCodes.append(code)
    operator.opcodeIndex, operator.inputs = len(model.operatorCodes) - 1, operator.inputs[:1]
    return pack_again(model, content)


@pytest.mark.parametrize(("align_corners", "half_pixels"), [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("type", TYPES)
def test_every_way_to_the_nearest_position(type: str, align_corners: bool, half_pixels: bool) -> None:
    model = tflite.ModelT.InitFromPackedBuf(converted("enlarged", type))
    for operator in model.subgraphs[0].operators:
        if isinstance(operator.builtinOptions, tflite.ResizeNearestNeighborOptionsT):
            operator.builtinOptions.alignCorners = align_corners
            operator.builtinOptions.halfPixelCenters = half_pixels
    content = pack_again(model, b"")
    adopted = with_plan(content)
    inputs = random_inputs(adopted, 5)
    expected = run_tflite_micro(content, inputs)
    np.testing.assert_allclose(Runtime(adopted).invoke(inputs), expected, rtol=0 if type == "int8" else 1e-5)
    np.testing.assert_array_equal(run_tflite_micro(extract(adopted, 0), inputs), expected)


def test_annotating_an_adopted_file(tmp_path: Path) -> None:
    (tmp_path / "foreign.tflite").write_bytes(converted("reshaped", "int8"))
    path = reds.adopt(str(tmp_path / "foreign.tflite"), tmp_path / "folder" / "adopted.tflite")
    annotate(path, (0.75,), (TargetCosts("cortex-m4", True, (1234,)),))
    (row,) = reds.inspect(path).subnetworks
    assert (row.accuracy, row.targets["cortex-m4"].instructions) == (0.75, 1234)
    Runtime(path)


def test_nothing_is_written_where_nothing_is_adopted(tmp_path: Path) -> None:
    (tmp_path / "foreign.tflite").write_bytes(b"no model at all")
    with pytest.raises(UsageError, match="not a TFLite model"):
        reds.adopt(tmp_path / "foreign.tflite", tmp_path / "adopted.tflite")
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.tflite"]


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(TYPES))
def test_an_extracted_network_gets_its_plan_back(seed: int, type: str) -> None:
    """The file that an extracted full network is adopted into holds the steps and the constants it was emitted with."""
    supernet = random_supernet(seed)
    samples = np.random.default_rng(seed).standard_normal((32, *supernet.family.graph.input_shape), np.float32)
    emitted = encode(quantize(supernet, type, samples))
    extracted = extract(emitted, 0)
    adopted = with_plan(extracted)
    runtime = Runtime(emitted)
    runtime.select(0)
    inputs = runtime.quantize(samples) if type == "int8" else samples
    np.testing.assert_array_equal(Runtime(adopted).invoke(inputs), runtime.invoke(inputs))
    first, second = read_model_file(adopted).plan, read_model_file(with_plan(extract(adopted, 0))).plan
    first.crc32 = second.crc32 = 1
    assert pack_plan(second) == pack_plan(first)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 8.0]))
def test_every_random_quantisation(seed: int, loudness: float) -> None:
    """Scales, zero points and biases that no converter chooses, so that outputs are clipped and shifts go both ways."""
    builder = NetworkBuilder(ElementType.INT8, (8, 6, 2), seed, loudness)
    specs = [
        LayerSpec(Conv2D((3, 3), (2, 1), "same"), 8, "relu"),
        LayerSpec(Activation("relu6")),
        LayerSpec(Pool2D("max", (2, 2), (2, 2), "same")),
        LayerSpec(Activation("hard_swish")),
        LayerSpec(Pool2D("average", (2, 3), (1, 1))),
        LayerSpec(Dense(), 4),
        LayerSpec(Activation("softmax")),
    ]
    extracted = extract(encode(builder.build(specs)), 0)
    inputs = builder.input(5)
    np.testing.assert_array_equal(Runtime(with_plan(extracted)).invoke(inputs), run_tflite_micro(extracted, inputs))
