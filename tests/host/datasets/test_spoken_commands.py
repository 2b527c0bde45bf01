import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from reds.datasets import load, spoken_commands
from reds.datasets.spoken_commands import ACCENTS, SPLITS, TIMBRES, Corpus, generate, utterances
from reds.errors import UsageError

needs_espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("REDS_DATA", raising=False)
    return tmp_path / "cache"


def tiny_corpus() -> Corpus:
    arrays: dict[str, np.ndarray] = {"noise": np.ones((1, 32000), np.float32)}
    for split in SPLITS:
        arrays[f"{split}_samples"] = np.ones((12, 16000), np.int16)
        arrays[f"{split}_labels"] = np.arange(12)
    return Corpus(arrays)


def test_every_voice_says_every_word_and_no_timbre_is_in_two_splits() -> None:
    timbres = [timbre for split in SPLITS for timbre in TIMBRES[split]]
    assert len(timbres) == len(set(timbres))
    plan = utterances()
    assert len(plan) == len(set(plan)) == len(timbres) * len(ACCENTS) * 11
    assert len({(u.voice, u.label) for u in plan}) == len(plan)
    counts = Counter(u.split for u in plan)
    assert 2500 <= sum(counts.values()) + sum(counts.values()) // 11 <= 3500


@needs_espeak
def test_generation_is_repeatable_audible_and_balanced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken_commands, "ACCENTS", ("en-us",))
    first, again = generate(timbres_per_split=1), generate(timbres_per_split=1)
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name])
    for split in SPLITS:
        samples, labels = first.arrays[f"{split}_samples"], first.arrays[f"{split}_labels"]
        assert samples.shape == (12, 16000)
        assert samples.dtype == np.int16
        assert sorted(labels) == list(range(12))
        assert (np.abs(samples[labels > 0].astype(int)).max(axis=1) > 1000).all()


def test_generated_once_then_read_from_the_cache(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken_commands, "generate", tiny_corpus)
    assert len(load("spoken_commands").train) == 12
    monkeypatch.setattr(spoken_commands, "generate", None)
    assert load("spoken_commands").name == "spoken_commands"
    assert [path.suffix for path in empty_cache.iterdir()] == [".npz"]


def test_a_damaged_cache_is_replaced(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoken_commands, "generate", tiny_corpus)
    load("spoken_commands")
    (cached,) = empty_cache.iterdir()
    whole = cached.read_bytes()
    cached.write_bytes(whole[: len(whole) // 2])
    load("spoken_commands")
    assert cached.read_bytes() == whole


def test_without_espeak_the_debian_package_is_named(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="Debian package espeak-ng"):
        load("spoken_commands")
    assert not empty_cache.exists()


def test_an_unwritable_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("REDS_CACHE", str(blocked))
    monkeypatch.delenv("REDS_DATA", raising=False)
    monkeypatch.setattr(spoken_commands, "generate", tiny_corpus)
    with pytest.raises(UsageError, match="REDS_CACHE"):
        load("spoken_commands")
