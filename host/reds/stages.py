"""A folder that belongs to one piece of work, and the stages of that work that it keeps."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from reds.errors import UsageError
from reds.files import write_atomically
from reds.run_folder import CANDIDATES_FILE, FAMILY_FILE, RANKED_FILE, SETTINGS_FILE
from reds.store import load, save

Stage = TypeVar("Stage")


@contextmanager
def claimed(folder: Path, identity: Mapping[str, Any], cure: str) -> Iterator[None]:
    """Marks the folder as the place of one piece of work, or refuses one that holds another.

    Settings that the work cannot even be begun with, such as budgets that cannot be met, do not bind the folder.

    Args:
        folder: made if it is missing.
        identity: all that the result depends on; can be written as JSON.
        cure: what to do about a folder that holds another work, as a sentence.

    Raises:
        UsageError: if the folder holds another work, or cannot be written.
    """
    path = folder / SETTINGS_FILE
    wanted = json.dumps(identity, indent=2) + "\n"
    known = path.exists()
    if known and path.read_text(encoding="utf-8", errors="replace") != wanted:
        raise UsageError(
            f"'{folder}' holds a run with other settings, another model or other data ({SETTINGS_FILE}). {cure}"
        )
    write_atomically(path, wanted.encode())
    try:
        yield
    except UsageError:
        if not known:
            _release(folder)
        raise


def stage(path: Path, kind: type[Stage], make: Callable[[], Stage]) -> Stage:
    """The saved result of a stage, made first where it is missing.

    Args:
        path: the .npz file that keeps it.
        kind: its class, one that `reds.store` saves.
        make: makes it.
    """
    if not path.exists():
        save(path, make())
    return load(path, kind)


def _release(folder: Path) -> None:
    for name in (SETTINGS_FILE, RANKED_FILE, CANDIDATES_FILE, FAMILY_FILE):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
