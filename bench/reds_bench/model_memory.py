"""A model as it lies in a board's memory, behind a header (device/firmware/model_memory.h)."""

MODEL_NAME_BYTES = 12
"""Room for the model's name in the header."""

MODEL_HEADER_BYTES = 16


def model_memory(model: bytes, model_name: str) -> bytes:
    """The header and the model.

    Args:
        model: a .tflite file.
        model_name: at most `MODEL_NAME_BYTES` ASCII characters.
    """
    return len(model).to_bytes(4, "little") + model_name.encode("ascii").ljust(MODEL_NAME_BYTES, b"\0") + model
