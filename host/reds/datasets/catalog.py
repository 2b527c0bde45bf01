"""Data sets by name, and where their files are looked for."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from reds.datasets import cifar10, fashion_mnist, speech_commands, visual_wake_words
from reds.datasets.dataset import Dataset
from reds.datasets.downloading import OfficialFile, fetch
from reds.datasets.spoken_commands import cache_folder, load_spoken_commands
from reds.errors import UsageError


@dataclass(frozen=True)
class Format:
    """A data set as its official files hold it."""

    layout: str
    """What a folder must hold; completes "expected ..."."""
    has_layout: Callable[[Path], bool]
    load: Callable[[Path, int], Dataset]
    """From the folder and the seed."""
    files: tuple[OfficialFile, ...] = ()
    """What its authors publish in this form; empty where they leave the images to be collected."""


FORMATS: Mapping[str, Format] = {
    "speech_commands": Format(
        speech_commands.LAYOUT,
        speech_commands.has_layout,
        speech_commands.load_speech_commands,
        speech_commands.OFFICIAL_FILES,
    ),
    "fashion_mnist": Format(
        fashion_mnist.LAYOUT, fashion_mnist.has_layout, fashion_mnist.load_fashion_mnist, fashion_mnist.OFFICIAL_FILES
    ),
    "cifar10": Format(cifar10.LAYOUT, cifar10.has_layout, cifar10.load_cifar10, cifar10.OFFICIAL_FILES),
    "visual_wake_words": Format(
        visual_wake_words.LAYOUT, visual_wake_words.has_layout, visual_wake_words.load_visual_wake_words
    ),
}
NAMES = ("spoken_commands", *FORMATS)
SEARCH_DEPTH = 2


def load(name: str, data_dir: str | os.PathLike[str] | None = None, seed: int = 0, download: bool = False) -> Dataset:
    """Loads a data set by its name.

    Args:
        name: "spoken_commands" (generated, needs no files; reads real Speech Commands instead where there are any),
            "speech_commands", "fashion_mnist", "cifar10" or "visual_wake_words".
        data_dir: Folder that holds the official files. By default the environment variable REDS_DATA: that folder,
            or any folder up to two levels under it that has the layout; else what was downloaded before.
        seed: Seed of what is sampled from the files: unknown words, silence, validation images.
        download: Whether to download the official files where they are not found: into `data_dir` if it is given,
            else into the cache (`REDS_CACHE`, or `reds` in the user's cache folder). With "spoken_commands" the real
            Speech Commands (2.4 GB) are downloaded in place of generated clips.

    Raises:
        UsageError: There is no such data set, or its files are neither found nor can be downloaded.
    """
    if name not in NAMES:
        raise UsageError(f"There is no data set '{name}'; choose one of {', '.join(NAMES)}.")
    if name == "spoken_commands":
        if not download and data_dir is None and _find(None, FORMATS["speech_commands"]) is None:
            return load_spoken_commands()
        name = "speech_commands"
    return FORMATS[name].load(_required_folder(name, data_dir, download), seed)


def _required_folder(name: str, data_dir: str | os.PathLike[str] | None, download: bool) -> Path:
    wanted = FORMATS[name]
    target = cache_folder() / name if data_dir is None else Path(data_dir)
    folder = _find(data_dir, wanted) or _find(target, wanted)
    if folder is None and download:
        folder = _downloaded(name, target)
    return folder or _not_found(name, data_dir)


def _downloaded(name: str, target: Path) -> Path | None:
    wanted = FORMATS[name]
    if not wanted.files:
        raise UsageError(f"{name} has no official archive to download; give a data folder with {wanted.layout}.")
    fetch(wanted.files, target)
    return _find(target, wanted)


def _not_found(name: str, data_dir: str | os.PathLike[str] | None) -> NoReturn:
    layout = FORMATS[name].layout
    offer = ", or add --download (download=True)" if FORMATS[name].files else ""
    if data_dir is not None:
        raise UsageError(f"The data folder {os.fspath(data_dir)} does not hold {name}; expected {layout}{offer}.")
    root = os.environ.get("REDS_DATA")
    where = f"in REDS_DATA ({root})" if root else "because REDS_DATA is not set"
    raise UsageError(f"{name} is not found {where}; give a data folder with {layout}{offer}.")


def _find(data_dir: str | os.PathLike[str] | None, wanted: Format) -> Path | None:
    """The folder with the layout: the given one or one under it, else one under REDS_DATA."""
    root = data_dir if data_dir is not None else os.environ.get("REDS_DATA")
    if not root:
        return None
    return next(filter(wanted.has_layout, _folders(Path(root), SEARCH_DEPTH)), None)


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    """The folder and those under it that are not hidden, nearest first and in order of their names."""
    level = [folder] if folder.is_dir() else []
    for _ in range(depth + 1):
        yield from level
        level = sorted(
            child for parent in level for child in parent.iterdir() if child.is_dir() and not child.name.startswith(".")
        )
