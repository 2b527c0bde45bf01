"""Files that are either whole or absent."""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reds.errors import UsageError


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

    Raises:
        UsageError: if no file can be written there.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise UsageError(f"Cannot write '{path}': it is there and not a regular file; name another file.")
    try:
        _write_and_rename(target, content)
    except OSError as error:
        raise UsageError(f"Cannot write '{path}': {error.strerror}; name a file that can be written.") from error


def _write_and_rename(target: Path, content: bytes) -> None:
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
