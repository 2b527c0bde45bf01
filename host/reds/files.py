"""Files that are either whole or absent."""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def save_array(path: Path | str, array: NDArray) -> None:
    """Writes a .npy file, whole or not at all."""
    stream = io.BytesIO()
    np.save(stream, array)
    write_atomically(path, stream.getvalue())


def write_atomically(path: Path | str, content: bytes) -> None:
    """Writes to a temporary file beside `path`, then renames it, so that nobody ever sees half a file.

    Args:
        path: the file to write; its folder is made if it is missing.
        content: all its bytes.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
