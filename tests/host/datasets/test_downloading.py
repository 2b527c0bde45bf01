"""Downloads from a server in this process: whole, resumed, wrong, and not to be had."""

import gzip
import hashlib
import io
import socket
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from reds.datasets import catalog, cifar10, fashion_mnist, load
from reds.datasets.downloading import OfficialFile, download, fetch
from reds.errors import UsageError

CONTENT = np.random.default_rng(0).bytes(3_000_000)


@dataclass
class Server:
    """Files by path, and the ranges that were asked for."""

    port: int
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: list[str | None] = field(default_factory=list)
    knows_ranges: bool = True
    ends_after: int | None = None
    """Bytes after which it hangs up."""

    def offer(self, name: str, content: bytes, algorithm: str = "sha256") -> OfficialFile:
        """Makes a file available."""
        self.files[f"/{name}"] = content
        digest = hashlib.new(algorithm, content).hexdigest()
        return OfficialFile(f"http://127.0.0.1:{self.port}/{name}", f"{algorithm}:{digest}")


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers["Range"]
            state.ranges.append(wanted)
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = 0
            if wanted and state.knows_ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][: state.ends_after])

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(listener.server_address[1])
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    yield state
    listener.shutdown()
    thread.join()
    listener.server_close()


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_file_arrives_once(server: Server, tmp_path: Path, algorithm: str) -> None:
    file = server.offer("data.bin", CONTENT, algorithm)
    path = download(file, tmp_path / "new")
    assert path.read_bytes() == CONTENT
    assert download(file, tmp_path / "new") == path
    assert server.ranges == [None]
    assert [child.name for child in path.parent.iterdir()] == ["data.bin"]


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_an_interruption_goes_on_where_it_stopped(server: Server, tmp_path: Path, knows_ranges: bool) -> None:
    file = server.offer("data.bin", CONTENT)
    server.ends_after = 1_200_000
    with pytest.raises(UsageError, match="where it stopped"):
        download(file, tmp_path)
    assert not (tmp_path / "data.bin").exists()
    assert (tmp_path / "data.bin.partial").read_bytes() == CONTENT[: server.ends_after]
    server.ends_after, server.knows_ranges = None, knows_ranges
    assert download(file, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1200000-"]


def test_a_partial_file_that_is_complete(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.partial").write_bytes(CONTENT)
    assert download(server.offer("data.bin", CONTENT), tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    file = replace(server.offer("data.bin", CONTENT), checksum=f"sha256:{'0' * 64}")
    with pytest.raises(UsageError, match="not the published file"):
        download(file, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_wrong_beginning_is_not_kept_for_ever(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.partial").write_bytes(b"of another release")
    file = server.offer("data.bin", CONTENT)
    with pytest.raises(UsageError, match="not the published file"):
        download(file, tmp_path)
    assert download(file, tmp_path).read_bytes() == CONTENT


def test_a_file_that_is_not_there_and_no_network(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Not Found"):
        download(OfficialFile(f"http://127.0.0.1:{server.port}/absent", "md5:0"), tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(UsageError, match=r"refused.*put it at .*data\.bin"):
        download(OfficialFile(f"http://127.0.0.1:{port}/data.bin", "md5:0"), tmp_path)


def test_a_folder_that_cannot_be_made(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="Cannot download"):
        download(server.offer("data.bin", CONTENT), tmp_path / "file")


def archive_of(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def test_an_archive_becomes_a_folder(server: Server, tmp_path: Path) -> None:
    file = server.offer("data.tar.gz", archive_of({"inner/a.bin": b"a"}))
    interrupted = tmp_path / ".data.partial"
    interrupted.mkdir()
    (interrupted / "half").touch()
    for _ in range(2):
        fetch([file], tmp_path)
        assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
            *("data", "data/inner", "data/inner/a.bin")
        ]
    assert len(server.ranges) == 1


def test_a_damaged_archive(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Cannot unpack"):
        fetch([server.offer("data.tar.gz", archive_of({"a": CONTENT})[:-1000])], tmp_path)
    assert not (tmp_path / "data").exists()


# ---- By name ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def empty_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No data anywhere."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("REDS_CACHE", str(cache))
    monkeypatch.delenv("REDS_DATA", raising=False)
    return cache


def offer(monkeypatch: pytest.MonkeyPatch, name: str, *files: OfficialFile) -> None:
    formats = {**catalog.FORMATS, name: replace(catalog.FORMATS[name], files=files)}
    monkeypatch.setattr(catalog, "FORMATS", formats)


def cifar10_files() -> dict[str, bytes]:
    generator = np.random.default_rng(0)

    def batch(count: int) -> bytes:
        records = generator.integers(0, 256, (count, cifar10.RECORD_BYTES), np.uint8)
        records[:, 0] %= 10
        return records.tobytes()

    names = "\n".join(f"class{index}" for index in range(10)).encode()
    counts = dict.fromkeys(cifar10.TRAIN_FILES, 1001) | {cifar10.TEST_FILE: 20}
    batches = {f"cifar-10-batches-bin/{name}": batch(count) for name, count in counts.items()}
    return {**batches, f"cifar-10-batches-bin/{cifar10.CLASSES_FILE}": names}


@pytest.mark.parametrize("into_a_folder", [True, False])
def test_an_archive_is_downloaded_once_and_found_again(
    server: Server, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch, into_a_folder: bool
) -> None:
    offer(monkeypatch, "cifar10", server.offer("cifar-10-binary.tar.gz", archive_of(cifar10_files())))
    folder = tmp_path if into_a_folder else None
    with pytest.raises(UsageError, match="--download"):
        load("cifar10", folder)
    assert len(load("cifar10", folder, download=True).test) == 20
    assert len(load("cifar10", folder).test) == len(load("cifar10", folder, download=True).test) == 20
    assert len(server.ranges) == 1
    assert (tmp_path if into_a_folder else empty_cache / "cifar10") / "cifar-10-binary" in (
        *tmp_path.iterdir(),
        *empty_cache.glob("*/*"),
    )


def test_single_files_are_downloaded(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def idx(*sizes: int) -> bytes:
        header = bytes((0, 0, 8, len(sizes))) + b"".join(size.to_bytes(4, "big") for size in sizes)
        return gzip.compress(header + bytes(int(np.prod(sizes))))

    contents = {"train-images": idx(5010, 28, 28), "train-labels": idx(5010)}
    contents |= {"t10k-images": idx(7, 28, 28), "t10k-labels": idx(7)}
    names = [name for pair in fashion_mnist.FILES.values() for name in pair]
    files = [server.offer(name, contents["-".join(name.split("-")[:2])]) for name in names]
    offer(monkeypatch, "fashion_mnist", *files)
    assert len(load("fashion_mnist", download=True).test) == 7


def test_half_an_unpacked_archive_is_not_taken_for_the_data(
    empty_cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, "cifar10", server.offer("cifar-10-binary.tar.gz", archive_of(cifar10_files())))
    half = empty_cache / "cifar10" / ".cifar-10-binary.partial" / "cifar-10-batches-bin"
    half.mkdir(parents=True)
    for name in cifar10.FILES:
        (half / name).touch()
    with pytest.raises(UsageError, match="not found"):
        load("cifar10")


def test_images_without_an_official_archive() -> None:
    with pytest.raises(UsageError, match="no official archive"):
        load("visual_wake_words", download=True)


def test_the_official_files_are_those_that_the_loaders_read() -> None:
    assert {file.name for file in fashion_mnist.OFFICIAL_FILES} == {
        name for pair in fashion_mnist.FILES.values() for name in pair
    }
    for name in ("speech_commands", "fashion_mnist", "cifar10"):
        for file in catalog.FORMATS[name].files:
            algorithm, digest = file.checksum.split(":")
            assert len(digest) == 2 * hashlib.new(algorithm).digest_size
