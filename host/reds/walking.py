"""Walks through a Keras model: which layer is called on what."""

from dataclasses import dataclass
from typing import Any, Literal

import keras

from reds.errors import UsageError
from reds.graph import INPUT

_RANKS = {"inputs": (1, 2, 3), "outputs": (1, 3)}
"""Numbers of dimensions, without the batch, of a model's input and output."""


@dataclass(frozen=True)
class Call:
    """One call of a layer."""

    name: str
    """The layer's name behind those of the models that it lies in: `submodel/layer`."""
    layer: Any
    inputs: tuple[int, ...]
    """Indices of the calls whose outputs it takes, in order; INPUT stands for the model's input."""


def calls(model: keras.Model) -> tuple[Call, ...]:
    """The calls that a model's output needs, each after those that it needs itself.

    Nested models are flattened. What only leads elsewhere than to the output is left out.

    Args:
        model: a built Sequential or functional model with one input and one output.

    Returns:
        The calls, the one that makes the output last.

    Raises:
        UsageError: if the model is not built, has several inputs or outputs, or calls a layer twice.
    """
    walk = _Walk()
    walk.through(model, "", INPUT)
    return tuple(walk.calls)


def shape_of(model: keras.Model, side: Literal["inputs", "outputs"]) -> tuple[int, ...]:
    """Shape per sample of a model's one input or output.

    Raises:
        UsageError: if there is not exactly one, or it has no fixed shape (channels,) or (height, width, channels).
    """
    tensors = getattr(model, side, None)
    if not tensors:
        raise UsageError(
            "`model` must be a built Sequential or functional Keras model. "
            f"Received: '{model.name}' ({type(model).__name__}) without known {side}; "
            "write it as a functional model, or give a Sequential model an `Input`."
        )
    if len(tensors) > 1:
        raise UsageError(f"`model` must have one input and one output. Received: {len(tensors)} {side}.")
    shape = tuple(tensors[0].shape)[1:]
    if len(shape) not in _RANKS[side] or None in shape:
        raise UsageError(
            f"`model` must have {side} of a fixed shape (channels,) or (height, width, channels) per sample. "
            f"Received: {shape}; give its `Input` such a shape."
        )
    return shape


class _Walk:
    """Collects the calls of a model and of those nested in it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._called: set[int] = set()

    def through(self, model: keras.Model, prefix: str, source: int) -> int:
        """Appends the calls of a model that is given what call `source` makes; returns the one that makes its output.

        A tensor waits on the stack until everything that it is made of has been appended.
        """
        for side in ("inputs", "outputs"):
            shape_of(model, side)
        output = model.outputs[0]
        made: dict[int, int] = {}
        pending = [output]
        while pending:
            tensor = pending[-1]
            layer, needed = _origin(tensor)
            missing = [other for other in needed if id(other) not in made]
            if id(tensor) not in made and missing:
                pending += reversed(missing)
                continue
            pending.pop()
            if id(tensor) not in made:
                inputs = tuple(made[id(other)] for other in needed)
                made[id(tensor)] = self._append(layer, prefix, inputs) if needed else source
        return made[id(output)]

    def _append(self, layer: Any, prefix: str, inputs: tuple[int, ...]) -> int:
        name = prefix + layer.name
        if id(layer) in self._called:
            raise UsageError(
                f"Layer '{name}' ({type(layer).__name__}) is not supported: it is used twice, and its weights cannot "
                "have two orders of channels. Use a layer for each place and train the model again."
            )
        self._called.add(id(layer))
        if isinstance(layer, keras.Model):
            return self.through(layer, f"{name}/", inputs[0])
        self.calls.append(Call(name, layer, inputs))
        return len(self.calls) - 1


def _origin(tensor: Any) -> tuple[Any, list[Any]]:
    """The layer that makes a tensor, and the tensors that it takes; none where it is a model's input."""
    history = tensor._keras_history
    return history.operation, history.operation._inbound_nodes[history.node_index].input_tensors
