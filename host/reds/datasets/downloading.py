"""Fetches official files: resumable, checked against their published checksums, whole or not there."""

import hashlib
import http.client
import math
import os
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reds.datasets.progress import with_progress
from reds.errors import UsageError

CHUNK_BYTES = 1 << 20
TIMEOUT_SECONDS = 30
TAR_SUFFIX = ".tar.gz"

PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416
"""Answers of HTTP (RFC 9110) to a request for the rest of a file."""


@dataclass(frozen=True)
class OfficialFile:
    """A file that the authors of a data set publish."""

    url: str
    checksum: str
    """Name of the algorithm and hexadecimal digest, such as "sha256:af14..."."""

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rsplit("/", 1)[-1]


def fetch(files: Sequence[OfficialFile], folder: Path) -> None:
    """Downloads what the folder lacks of some files, and unpacks archives.

    Args:
        files: an archive is unpacked into a folder that has its name without the suffix, and then deleted.
        folder: made if it is missing.

    Raises:
        UsageError: if a file cannot be had or is not the published one. What has arrived is kept, and the next call
            goes on from there.
    """
    for file in files:
        if not file.name.endswith(TAR_SUFFIX):
            download(file, folder)
        elif not (folder / file.name.removesuffix(TAR_SUFFIX)).is_dir():
            _unpack(download(file, folder))


def download(file: OfficialFile, folder: Path) -> Path:
    """Downloads a file unless the folder has it.

    Args:
        file: what to download.
        folder: where to put it; made if it is missing.

    Returns:
        Its path. While it arrives, its name ends in ".partial".

    Raises:
        UsageError: as `fetch`.
    """
    path = folder / file.name
    partial = path.with_name(f"{path.name}.partial")
    if path.exists():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _receive(file, partial)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise UsageError(
            f"Cannot download {file.url} ({reason}): try again, which goes on where it stopped, or fetch the file on "
            f"another machine and put it at {path}."
        ) from error
    _check(file, partial)
    os.replace(partial, path)
    return path


def _receive(file: OfficialFile, partial: Path) -> None:
    """Appends to the partial file what it lacks."""
    present = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={present}-"} if present else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == RANGE_NOT_SATISFIABLE:
            return  # Nothing is lacking; the checksum decides.
        raise
    with response, open(partial, "ab") as output:
        if response.status != PARTIAL_CONTENT:
            output.truncate(0)
        missing = int(response.headers["Content-Length"] or 0)
        chunks = iter(lambda: response.read(CHUNK_BYTES), b"")
        count = math.ceil(missing / CHUNK_BYTES)
        received = sum(output.write(chunk) for chunk in with_progress(chunks, count, f"Downloading {file.name}"))
    if received < missing:
        raise ConnectionError(f"the connection ended after {received} of {missing} bytes")


def _check(file: OfficialFile, partial: Path) -> None:
    algorithm, expected = file.checksum.split(":")
    with open(partial, "rb") as stream:
        received = hashlib.file_digest(stream, algorithm).hexdigest()
    if received != expected:
        partial.unlink()
        raise UsageError(
            f"{file.url} is not the published file: its {algorithm} is {received}, not {expected}. It was deleted; "
            f"try again, or fetch the file elsewhere and put it at {partial.with_name(file.name)}."
        )


def _unpack(archive: Path) -> None:
    """Replaces an archive by a folder with its content; the folder is whole or not there."""
    folder = archive.with_name(archive.name.removesuffix(TAR_SUFFIX))
    partial = archive.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with tarfile.open(archive) as content:
            content.extractall(partial)  # The checksum has vouched for every member's path.
    except (OSError, tarfile.TarError, EOFError) as error:
        raise UsageError(f"Cannot unpack {archive} ({error}): make room, or delete it to download it again.") from error
    os.replace(partial, folder)
    archive.unlink()
