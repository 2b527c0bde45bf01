"""What TensorFlow Lite Micro takes for the networks that `networks.py` measures, and what was aimed at.

Measured on the same emulated Cortex-M4 with the same compiler, GCC 12.2, at TFLM's release flags and its default -O2:
tflite-micro at 90b983c2 and CMSIS-NN at 4ab83cc3, the operators of the model registered alone. Inputs and outputs of
CNN S and DNN S in int8 were float32 there. Flash is that of a whole firmware, with about 8 kB of C library and harness.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rival:
    """One network on the Cortex-M4; None where it was not measured."""

    reference: int
    """Instructions of one inference with TFLM's reference kernels."""
    cmsis_nn: int | None
    """The same with CMSIS-NN."""
    arena_bytes: int
    flash_bytes: int


@dataclass(frozen=True)
class Goal:
    """Instructions aimed at."""

    goal: int
    stretch: int


RIVALS = {
    ("ds_cnn_s", "int8"): Rival(43_040_606, 7_697_406, 22_820, 84_216),
    ("mobilenet_v1_025", "int8"): Rival(100_250_947, 24_101_875, 100_708, 84_216),
    ("resnet_8", "int8"): Rival(107_403_252, 29_863_762, 54_996, 79_140),
    ("autoencoder", "int8"): Rival(1_952_343, 582_950, 2_580, 33_032),
    ("cnn_s", "int8"): Rival(32_181_887, 5_390_598, 16_192, 67_804),
    ("dnn_s", "int8"): Rival(597_021, 189_482, 2_384, 43_080),
    ("dnn_s", "float32"): Rival(407_337, None, 2_416, 21_576),
    ("ds_cnn_s", "float32"): Rival(36_755_419, 37_745_306, 70_800, 47_152),
}
"""By architecture and type."""

GOALS = {
    ("ds_cnn_s", "int8"): Goal(4_900_000, 3_900_000),
    ("mobilenet_v1_025", "int8"): Goal(14_000_000, 11_000_000),
    ("resnet_8", "int8"): Goal(19_000_000, 16_500_000),
    ("autoencoder", "int8"): Goal(370_000, 330_000),
    ("dnn_s", "int8"): Goal(115_000, 100_000),
    ("dnn_s", "float32"): Goal(160_000, 120_000),
}

WIDTHS = {4: 7_696_093, 3: 5_282_993, 2: 3_240_767, 1: 1_569_421}
"""Instructions of DS-CNN S with so many quarters of its channels, each a model of its own, with CMSIS-NN."""

CORE = "qemu:cortex-m4"
