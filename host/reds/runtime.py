"""libreds on this machine: runs the subnetworks of a model exactly as a microcontroller does."""

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cffi
import numpy as np
from ai_edge_litert import schema_py_generated as tflite
from numpy.typing import NDArray

from reds.errors import UsageError
from reds.requantize import Quantization
from reds.schema import conventions
from reds.schema import reds_generated as schema

ARTIFACTS = Path(__file__).parent / "artifacts"

GUARD_BYTES = 64
"""Bytes on each side of the arena that no subnetwork may write."""

GUARD_VALUE = 0xA5

UNLIMITED_BYTES = (1 << 31) - 1
LARGEST_LIMIT = (1 << 32) - 1


@dataclass(frozen=True)
class SubnetworkInfo:
    """What one subnetwork costs and gives."""

    id: int
    name: str
    exit: str
    macs: int
    """Multiply-accumulates of one inference."""
    parameters: int
    flash_bytes: int
    """Bytes of the file that an inference reads."""
    arena_bytes: int
    """Bytes of the arena that it needs, input and output included."""
    instructions: int | None
    """Of one inference on the runtime's target; None where unknown."""
    accuracy: float | None
    """Fraction answered right in the host's measurement; None where not measured."""


@dataclass(frozen=True)
class OperationTime:
    """How long one operation took."""

    step: int
    layer: int
    operation: str
    nanoseconds: int


@dataclass(frozen=True)
class Library:
    """libreds and the types of its interface."""

    ffi: cffi.FFI
    functions: Any

    def check(self, status: int, action: str) -> None:
        """Raises UsageError if a status is an error."""
        if status < 0:
            text = self.ffi.string(self.functions.reds_status_text(status)).decode()
            raise UsageError(f"{action}: {text}.")


@functools.cache
def load_library(path: Path = ARTIFACTS / "libreds.so") -> Library:
    """Loads libreds.

    Args:
        path: the shared library; its interface, reds.cdef, lies in the package's artifacts.

    Raises:
        UsageError: if it is not built.
    """
    interface = ARTIFACTS / "reds.cdef"
    if not path.exists() or not interface.exists():
        raise UsageError("libreds is not built; run ./bootstrap")
    ffi = cffi.FFI()
    ffi.cdef(interface.read_text(encoding="utf-8"))
    return Library(ffi, ffi.dlopen(str(path)))


class Runtime:
    """A model opened by libreds.

    Args:
        model: path of a .tflite file with the metadata entry `REDS`, or its bytes.
        arena_bytes: memory for activations. The default is what the largest subnetwork needs.
        target: name of the core whose instruction counts budgets use.
        trust_flash: whether to skip the checksum over the file.

    Raises:
        UsageError: if libreds is not built, there is no such file, libreds refuses it, or the arena is too small for
            every subnetwork.

    Example:
        runtime = Runtime("model.tflite")
        runtime.set_budget(macs=700_000)
        scores = runtime.dequantize(runtime.invoke(runtime.quantize(samples)))
    """

    def __init__(
        self,
        model: str | Path | bytes,
        arena_bytes: int | None = None,
        target: str = "cortex-m4",
        trust_flash: bool = False,
    ) -> None:
        if arena_bytes is not None and not 0 <= arena_bytes <= LARGEST_LIMIT:
            raise UsageError(f"`arena_bytes` must be from 0 to {LARGEST_LIMIT}. Received: arena_bytes={arena_bytes}")
        self._library = load_library()
        self._action = "Cannot open the model" if isinstance(model, bytes) else f"Cannot open '{model}'"
        content = model if isinstance(model, bytes) else _read(Path(model))
        self._model = _aligned(len(content))
        self._model[:] = np.frombuffer(content, np.uint8)
        self._target = self._library.ffi.new("char[]", target.encode())
        self._context = self._library.ffi.new("reds_context *")
        self._open(_aligned(0), UNLIMITED_BYTES, trust_flash)
        if arena_bytes is None:
            arena_bytes = max(info.arena_bytes for info in self.subnetworks)
        self._guarded_arena = _aligned(arena_bytes + 2 * GUARD_BYTES)
        self._guarded_arena[:] = GUARD_VALUE
        self._open(self.arena, arena_bytes, trust_flash=True)
        plan = _plan_of(self._model)
        self.input = self._view(self._library.functions.reds_input(self._context), plan.Input())
        """The network's input in the arena, (*input shape), which begins with the batch if that is above 1."""
        self.output = self._view(self._library.functions.reds_output(self._context), plan.Output())
        """The network's output in the arena, (*output shape), with the batch as `input` has it."""
        self._step_layers = _step_layers(plan)

    def _open(self, arena: NDArray[np.uint8], arena_bytes: int, trust_flash: bool) -> None:
        """Opens the context. libreds does not touch the arena here, so its size may be a claim."""
        ffi = self._library.ffi
        config = {
            "model": ffi.cast("void *", self._model.ctypes.data),
            "model_bytes": len(self._model),
            "arena": ffi.cast("void *", arena.ctypes.data),
            "arena_bytes": arena_bytes,
            "target": self._target,
            "flags": self._library.functions.REDS_TRUST_FLASH if trust_flash else 0,
        }
        self._check(self._library.functions.reds_open(self._context, ffi.new("reds_config *", config)))

    def _check(self, status: int, action: str | None = None) -> None:
        self._library.check(status, action or self._action)

    def _view(self, tensor: Any, port: schema.Port) -> NDArray:
        functions = self._library.functions
        dtypes = {
            functions.REDS_FLOAT32: np.float32,
            functions.REDS_INT8: np.int8,
            functions.REDS_INT16: np.int16,
            functions.REDS_UINT8: np.uint8,
        }
        memory = self._library.ffi.buffer(tensor.data, tensor.bytes)
        return np.frombuffer(memory, dtypes[tensor.type]).reshape(inference_shape(port.ShapeAsNumpy()))

    @property
    def arena(self) -> NDArray[np.uint8]:
        """The arena's bytes."""
        return self._guarded_arena[GUARD_BYTES:-GUARD_BYTES]

    @property
    def guards_intact(self) -> bool:
        """Whether nothing was written just outside the arena."""
        guards = (self._guarded_arena[:GUARD_BYTES], self._guarded_arena[-GUARD_BYTES:])
        return all(bool((guard == GUARD_VALUE).all()) for guard in guards)

    @functools.cached_property
    def subnetworks(self) -> tuple[SubnetworkInfo, ...]:
        """All subnetworks; number 0 is the full network."""
        count = self._library.functions.reds_subnetwork_count(self._context)
        return tuple(self._describe(index) for index in range(count))

    def _describe(self, index: int) -> SubnetworkInfo:
        ffi = self._library.ffi
        found = ffi.new("reds_subnetwork *")
        self._check(self._library.functions.reds_describe(self._context, index, found))
        return SubnetworkInfo(
            id=index,
            name=ffi.string(found.name).decode(),
            exit=ffi.string(found.exit).decode(),
            macs=found.macs,
            parameters=found.parameters,
            flash_bytes=found.flash_bytes,
            arena_bytes=found.arena_bytes,
            instructions=found.instructions or None,
            accuracy=None if found.accuracy < 0 else found.accuracy,
        )

    @property
    def selected(self) -> int:
        """The subnetwork that the next inference runs."""
        return int(self._library.functions.reds_selected(self._context))

    def select(self, subnetwork: int) -> None:
        """Selects the subnetwork that the next inference runs.

        Raises:
            UsageError: if there is no such subnetwork or the arena is too small for it.
        """
        self._check_subnetwork(subnetwork)
        status = self._library.functions.reds_select(self._context, subnetwork)
        self._check(status, f"Cannot select subnetwork {subnetwork}")

    def _check_subnetwork(self, subnetwork: int) -> None:
        if not 0 <= subnetwork < len(self.subnetworks):
            last = len(self.subnetworks) - 1
            raise UsageError(f"`subnetwork` must be from 0 to {last}. Received: subnetwork={subnetwork}")

    def set_budget(
        self, macs: int | None = None, arena_bytes: int | None = None, instructions: int | None = None
    ) -> None:
        """Selects the most accurate subnetwork that keeps every limit.

        Args:
            macs: most multiply-accumulates of one inference. None means no limit, here and below.
            arena_bytes: most bytes of the arena.
            instructions: most instructions of one inference on the target.

        Raises:
            UsageError: if a limit is not positive or no subnetwork keeps them all; the selection stays as it was.
        """
        limits = {"macs": macs, "arena_bytes": arena_bytes, "instructions": instructions}
        for name, limit in limits.items():
            if limit is not None and not 0 < limit <= LARGEST_LIMIT:
                raise UsageError(f"`{name}` must be from 1 to {LARGEST_LIMIT}. Received: {name}={limit}")
        budget = self._library.ffi.new("reds_budget *", {name: limit or 0 for name, limit in limits.items()})
        self._check(self._library.functions.reds_set_budget(self._context, budget), "Cannot set the budget")

    @property
    def input_quantization(self) -> Quantization | None:
        """Scale and zero point of the input; None for float32."""
        return _quantization(self._library.functions.reds_input(self._context), self.input.dtype)

    @property
    def output_quantization(self) -> Quantization | None:
        """Scale and zero point of the output; None for float32."""
        return _quantization(self._library.functions.reds_output(self._context), self.output.dtype)

    def quantize(self, x: NDArray[np.float32]) -> NDArray:
        """Real inputs in the model's own type."""
        quantization = self.input_quantization
        return np.asarray(x, np.float32) if quantization is None else quantization.quantize(x, self.input.dtype)

    def dequantize(self, y: NDArray) -> NDArray[np.float32]:
        """Real values of outputs in the model's own type."""
        quantization = self.output_quantization
        return y if quantization is None else quantization.dequantize(y)

    def invoke(self, x: NDArray) -> NDArray:
        """Runs the selected subnetwork.

        Args:
            x: (*input shape) or (inferences, *input shape) in the model's own type, with `input`'s shape.

        Returns:
            (*output shape) or (inferences, *output shape) in the model's own type, with `output`'s shape.

        Raises:
            UsageError: if `x` has another type or shape.
        """
        x = self._checked_input(x)
        if x.ndim == self.input.ndim:
            return self._invoke_one(x)
        return np.array([self._invoke_one(one) for one in x], self.output.dtype).reshape(len(x), *self.output.shape)

    def _invoke_one(self, x: NDArray) -> NDArray:
        self.input[...] = x
        self._library.functions.reds_invoke(self._context)
        return self.output.copy()

    def _checked_input(self, x: NDArray) -> NDArray:
        x = np.asarray(x)
        if x.dtype != self.input.dtype:
            hint = "" if self.input.dtype == np.float32 else " Use `quantize` first."
            raise UsageError(f"`x` must be of the model's own type {self.input.dtype}. Received: {x.dtype}.{hint}")
        if self.input.shape not in (x.shape, x.shape[1:]):
            raise UsageError(
                f"`x` must have the shape {self.input.shape}, or that of several of them. Received: {x.shape}"
            )
        return x

    def step(self) -> bool:
        """Runs one operation on what lies in `input`; the first one begins an inference.

        Returns:
            True while operations remain, False when `output` is ready.
        """
        return bool(self._library.functions.reds_step(self._context) == self._library.functions.REDS_OK)

    def continue_in(self, subnetwork: int) -> None:
        """Lets the inference that was begun last go on in another subnetwork: a narrower one or one of another exit.

        What is still needed of the computed tensors is reduced to its first channels, rescaled and brought to its
        place. What the next inference runs stays as it was selected.

        Raises:
            UsageError: if there is no such subnetwork, the arena is too small for it or the inference cannot go on in
                it; then it goes on as it was.
        """
        self._check_subnetwork(subnetwork)
        status = self._library.functions.reds_continue_in(self._context, subnetwork)
        self._check(status, f"Cannot continue in subnetwork {subnetwork}")

    def continue_within(self, macs: int) -> None:
        """Lets the inference that was begun last go on in the most accurate subnetwork that it can still afford.

        Args:
            macs: most multiply-accumulates of the remaining operations. Where those of the running subnetwork are no
                more and it is the most accurate one, nothing changes.

        Raises:
            UsageError: if `macs` is negative, no inference has begun, or it can go on in no such subnetwork; then it
                goes on as it was.
        """
        if not 0 <= macs <= LARGEST_LIMIT:
            raise UsageError(f"`macs` must be from 0 to {LARGEST_LIMIT}. Received: macs={macs}")
        status = self._library.functions.reds_continue_within(self._context, macs)
        self._check(status, f"Cannot continue within {macs} multiply-accumulates")

    @property
    def is_confident(self) -> bool:
        """Whether `output` holds an answer that reaches the threshold of the exit where the inference left."""
        return bool(self._library.functions.reds_is_confident(self._context))

    def profile(self, x: NDArray) -> list[OperationTime]:
        """Times each operation of the selected subnetwork.

        Args:
            x: (*input shape) in the model's own type.

        Returns:
            The operations in the order they ran, those of a batch's every sample.

        Raises:
            UsageError: if `x` has another type or shape.
        """
        x = self._checked_input(x)
        if x.ndim != self.input.ndim:
            raise UsageError(f"`x` must be of one inference, of shape {self.input.shape}. Received: {x.shape}")
        self.invoke(x)  # ends an inference that was begun
        self.input[...] = x
        times = []
        remains = True
        while remains:
            for step, (layer, operation) in enumerate(self._step_layers[self.selected]):
                begin = time.perf_counter_ns()
                remains = self.step()
                times.append(OperationTime(step, layer, operation, time.perf_counter_ns() - begin))
        return times


def inference_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """What one inference takes or gives, for the shape of a port: without the batch where that is 1."""
    return tuple(int(size) for size in (shape if shape[0] > 1 else shape[1:]))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"Cannot read '{path}': {error.strerror}.") from error


def _aligned(size: int) -> NDArray[np.uint8]:
    """Memory at an address that libreds accepts."""
    alignment = conventions.ARENA_ALIGNMENT
    memory = np.empty(size + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + size]


def _quantization(tensor: Any, dtype: np.dtype) -> Quantization | None:
    return None if dtype == np.float32 else Quantization(np.float32(tensor.scale), tensor.zero_point)


def _plan_of(model: NDArray[np.uint8]) -> schema.Plan:
    """The plan in a model that libreds has verified."""
    root = tflite.Model.GetRootAs(model, 0)
    entries = (root.Metadata(index) for index in range(root.MetadataLength()))
    entry = next(entry for entry in entries if entry.Name() == conventions.METADATA_NAME.encode())
    return schema.Plan.GetRootAs(root.Buffers(entry.Buffer()).DataAsNumpy(), 0)


def _step_layers(plan: schema.Plan) -> list[list[tuple[int, str]]]:
    """Per subnetwork and step the layer and the name of its operation."""
    names = {value: name for name, value in vars(schema.Operation).items() if not name.startswith("_")}
    subnetworks = (plan.Subnetworks(index) for index in range(plan.SubnetworksLength()))
    return [
        [
            (layer, names[plan.Layers(layer).Operation()])
            for layer in (subnetwork.Steps(step).Layer() for step in range(subnetwork.StepsLength()))
        ]
        for subnetwork in subnetworks
    ]
