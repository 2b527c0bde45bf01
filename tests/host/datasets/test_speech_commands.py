import wave
from collections import Counter
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest

from reds.datasets import load
from reds.datasets.speech import CLASSES, TARGET_WORDS
from reds.datasets.speech_commands import split_by_hash
from reds.errors import UsageError

PURPOSES = ("train", "validation", "test")
CLIPS_PER_WORD = 4
SHORT = 14336


def write_wav(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16000)
        writer.writeframes(samples.astype("<i2").tobytes())


def speakers(purpose: str) -> list[str]:
    names = (f"{number:08x}" for number in count())
    return list(islice((name for name in names if split_by_hash(f"{name}_nohash_0.wav") == purpose), CLIPS_PER_WORD))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten targets and two other words; each word's samples all have one value, so that a clip tells its word."""
    root = tmp_path_factory.mktemp("data") / "speech"
    for value, word in enumerate((*TARGET_WORDS, "bed", "cat"), start=1):
        for purpose in PURPOSES:
            for speaker in speakers(purpose):
                write_wav(root / word / f"{speaker}_nohash_0.wav", np.full(SHORT, value))
    write_wav(root / "_background_noise_" / "hiss.wav", np.random.default_rng(0).integers(-999, 999, 200000))
    return root


def test_official_hash_rule() -> None:
    official = {
        "0c540988_nohash_0.wav": "test",
        "5170b77f_nohash_4.wav": "test",
        "0d393936_nohash_0.wav": "train",
        "161fcca8_nohash_0.wav": "train",
        "50f55535_nohash_0.wav": "validation",
        "6d818f6c_nohash_2.wav": "validation",
    }
    assert {name: split_by_hash(name) for name in official} == official


def test_classes_and_shares(folder: Path) -> None:
    data = load("speech_commands", folder)
    assert data.classes == CLASSES
    assert data.input_shape == (49, 10, 1)
    for split in (data.train, data.validation, data.test):
        counts = Counter(split.labels.tolist())
        assert [counts[label] for label in range(12)] == [4, 4, *[CLIPS_PER_WORD] * 10]
        spoken = split.labels > 1
        np.testing.assert_array_equal(split.samples[spoken, 0], split.labels[spoken] - 1)
        assert not split.samples[spoken, SHORT:].any()
        assert set(split.samples[split.labels == 1, 0]) <= {11, 12}


def test_lists_decide_the_split(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "listed"
    copy.mkdir()
    for child in folder.iterdir():
        (copy / child.name).symlink_to(child)
    words = (*TARGET_WORDS, "bed")
    lists = {"validation_list.txt": speakers("train")[:1], "testing_list.txt": speakers("train")[1:3]}
    for name, chosen in lists.items():
        lines = [f"{word}/{speaker}_nohash_0.wav\n" for word in words for speaker in chosen]
        (copy / name).write_text("".join(lines))
    data = load("speech_commands", copy)
    yes = [int(np.count_nonzero(split.labels == 2)) for split in (data.train, data.validation, data.test)]
    assert yes == [3 * CLIPS_PER_WORD - 3, 1, 2]


def test_the_seed_decides_what_is_sampled(folder: Path) -> None:
    first, same, other = (load("speech_commands", folder, seed).train.samples for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_spoken_commands_reads_real_clips_where_there_are_any(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load("spoken_commands", folder.parent).name == "speech_commands"
    monkeypatch.setenv("REDS_DATA", str(folder.parent))
    assert load("spoken_commands").name == "speech_commands"


def test_wrong_folders_are_told_what_was_expected(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDS_DATA", raising=False)
    for name in ("speech_commands", "spoken_commands"):
        with pytest.raises(UsageError, match=r"_background_noise_"):
            load(name, tmp_path)
    with pytest.raises(UsageError, match="REDS_DATA is not set"):
        load("speech_commands")
    for word in TARGET_WORDS:
        (tmp_path / word).mkdir()
    (tmp_path / "_background_noise_").mkdir()
    with pytest.raises(UsageError, match="holds no recording"):
        load("speech_commands", tmp_path)
    (tmp_path / "_background_noise_" / "hiss.wav").symlink_to(folder / "_background_noise_" / "hiss.wav")
    with pytest.raises(UsageError, match="no train clips of down, go"):
        load("speech_commands", tmp_path)


def test_unknown_name_lists_the_data_sets() -> None:
    with pytest.raises(UsageError, match=r"'mnist'.*spoken_commands, speech_commands, fashion_mnist"):
        load("mnist")
