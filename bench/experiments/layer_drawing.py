"""Draws random layers."""

import math
from typing import Any, Literal

import numpy as np
from model_builder import LayerSpec

from reds.graph import (
    INPUT,
    Activation,
    BatchMatMul,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Crop,
    Dense,
    DepthwiseConv2D,
    Pad,
    Pool2D,
    Slice,
    Transpose,
)


class Draw:
    """Draws layers. One seed decides all, so that examples differ in every respect at once."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def size(self, largest: int) -> int:
        return int(self._random.integers(1, largest + 1))

    def pair(self, largest_height: int, largest_width: int) -> tuple[int, int]:
        return self.size(largest_height), self.size(largest_width)

    def choice(self, *values: Any) -> Any:
        return values[self._random.integers(len(values))]

    def activation(self) -> str:
        return self.choice("none", "relu", "relu6")

    def convolution(self, kind: type[Conv2D] | type[DepthwiseConv2D]) -> Conv2D | DepthwiseConv2D:
        # Keras has no convolution that is both strided and dilated.
        strides, dilation = self.choice((self.pair(3, 3), (1, 1)), ((1, 1), self.pair(3, 3)))
        return kind(self.pair(5, 4), strides, self.choice("valid", "same", "same"), dilation)

    def grouped_convolution(self) -> Conv2D:
        return Conv2D(**vars(self.convolution(Conv2D)) | {"groups": 1 + self.size(6)})

    def transposed(self) -> Conv2DTranspose:
        return Conv2DTranspose(self.pair(4, 5), self.pair(3, 3), self.choice("valid", "same"))

    def pool(self, kind: Literal["average", "max"]) -> Pool2D:
        return Pool2D(kind, self.pair(5, 4), self.pair(3, 3), self.choice("valid", "same"))

    def pad(self) -> Pad:
        return Pad(self._border(), self._border())

    def crop(self) -> Crop:
        return Crop(self._border(), self._border())

    def transpose(self) -> Transpose:
        order = self._random.permutation(3)
        while np.array_equal(order, range(3)):
            order = self._random.permutation(3)
        return Transpose((int(order[0]), int(order[1]), int(order[2])))

    def _border(self) -> tuple[int, int]:
        before, after = self._random.integers(0, 4, 2)
        return int(before), int(after)

    def tabled(self) -> Activation:
        function = self.choice("leaky_relu", "sigmoid", "tanh", "hard_swish")
        return Activation(function, float(np.float32(self._random.uniform(0, 1))) if function == "leaky_relu" else 0.0)


def product_of_matrices(draw: Draw) -> list[LayerSpec]:
    """Two vectors read as matrices, their product, and a layer behind it."""
    pairs, depth, rows, columns = (draw.size(most) for most in (4, 11, 7, 9))
    operation = BatchMatMul(draw.choice(False, True), draw.choice(False, True))
    first = (pairs, depth, rows) if operation.transpose_first else (pairs, rows, depth)
    second = (pairs, columns, depth) if operation.transpose_second else (pairs, depth, columns)
    return [
        LayerSpec(Dense(), math.prod(first)),
        LayerSpec(Dense(), math.prod(second), inputs=(INPUT,)),
        LayerSpec(operation, inputs=(0, 1), reads=first),
        LayerSpec(Conv2D((1, 1)), 3),
    ]


def joined_slices(draw: Draw) -> list[LayerSpec]:
    """Two parts of a layer's channels, joined in the other order, and a layer behind them."""
    first, others, rest = draw.size(9) - 1, draw.size(9), draw.size(9)
    return [
        LayerSpec(Conv2D((1, 1)), first + others + rest),
        LayerSpec(Slice(first), others),
        LayerSpec(Slice(first + others), rest, inputs=(0,)),
        LayerSpec(Concatenate(), inputs=(2, 1)),
        LayerSpec(Conv2D((1, 1)), 3),
    ]
