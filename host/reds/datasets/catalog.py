"""Data sets by name, and where their files are looked for."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from reds.datasets import fashion_mnist, speech_commands
from reds.datasets.dataset import Dataset
from reds.datasets.fashion_mnist import load_fashion_mnist
from reds.datasets.speech_commands import load_speech_commands
from reds.datasets.spoken_commands import load_spoken_commands
from reds.errors import UsageError

NAMES = ("spoken_commands", "speech_commands", "fashion_mnist")
SEARCH_DEPTH = 2

Recognizer = Callable[[Path], bool]


def load(name: str, data_dir: str | os.PathLike[str] | None = None, seed: int = 0) -> Dataset:
    """Loads a data set by its name.

    Args:
        name: "spoken_commands" (generated, needs no files; reads real Speech Commands instead where there are any),
            "speech_commands" or "fashion_mnist".
        data_dir: Folder that holds the official files. By default the environment variable REDS_DATA: that folder,
            or any folder up to two levels under it that has the layout.
        seed: Seed of what is sampled from the files: unknown words, silence, validation images.

    Raises:
        UsageError: There is no such data set, or its files are not found.
    """
    if name not in NAMES:
        raise UsageError(f"There is no data set '{name}'; choose one of {', '.join(NAMES)}.")
    if name == "fashion_mnist":
        folder = _required_folder(name, data_dir, fashion_mnist.has_layout, fashion_mnist.LAYOUT)
        return load_fashion_mnist(folder, seed)
    if name == "spoken_commands" and data_dir is None and _find(None, speech_commands.has_layout) is None:
        return load_spoken_commands()
    folder = _required_folder(name, data_dir, speech_commands.has_layout, speech_commands.LAYOUT)
    return load_speech_commands(folder, seed)


def _required_folder(name: str, data_dir: str | os.PathLike[str] | None, has_layout: Recognizer, layout: str) -> Path:
    folder = _find(data_dir, has_layout)
    if folder is not None:
        return folder
    if data_dir is not None:
        raise UsageError(f"The data folder {os.fspath(data_dir)} does not hold {name}; expected {layout}.")
    root = os.environ.get("REDS_DATA")
    where = f"in REDS_DATA ({root})" if root else "because REDS_DATA is not set"
    raise UsageError(f"{name} is not found {where}; give a data folder with {layout}.")


def _find(data_dir: str | os.PathLike[str] | None, has_layout: Recognizer) -> Path | None:
    """The folder with the layout: the given one or one under it, else one under REDS_DATA."""
    root = data_dir if data_dir is not None else os.environ.get("REDS_DATA")
    if not root:
        return None
    return next(filter(has_layout, _folders(Path(root), SEARCH_DEPTH)), None)


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    """The folder and those under it, nearest first and in order of their names."""
    level = [folder] if folder.is_dir() else []
    for _ in range(depth + 1):
        yield from level
        level = sorted(child for parent in level for child in parent.iterdir() if child.is_dir())
