"""Google's Speech Commands, or any clips in its layout: `<word>/<speaker>_nohash_<n>.wav`.

Source: Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018, section 7.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from reds.datasets.audio import Waveform, one_second, read_wav, to_waveform
from reds.datasets.dataset import Dataset, Split
from reds.datasets.downloading import OfficialFile
from reds.datasets.features import CLIP_SAMPLES
from reds.datasets.speech import (
    CLASSES,
    SILENCE,
    SILENCE_FRACTION,
    TARGET_WORDS,
    UNKNOWN,
    UNKNOWN_FRACTION,
    Clips,
    SpeechPreprocessing,
    silence_clips,
)
from reds.errors import UsageError

NOISE_FOLDER = "_background_noise_"
LAYOUT = (
    "the Speech Commands layout: a folder <word>/<speaker>_nohash_<n>.wav for each of "
    f"{', '.join(TARGET_WORDS)}, folders of other words, and {NOISE_FOLDER}/*.wav"
)

OFFICIAL_FILES = (
    OfficialFile(
        "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    ),
)
"""Version 0.02, 2.4 GB; the checksum is that of TensorFlow Datasets and torchaudio."""

Purpose = Literal["train", "validation", "test"]
LISTS: dict[str, Purpose] = {"validation_list.txt": "validation", "testing_list.txt": "test"}
NOISE_SHARES: dict[Purpose, tuple[float, float]] = {"train": (0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1)}
"""Each split cuts its silence from another part of the recordings."""

VALIDATION_PERCENT = TEST_PERCENT = 10
HASH_RANGE = 2**27 - 1


def has_layout(folder: Path) -> bool:
    """Whether the folder holds clips in the Speech Commands layout."""
    return not _missing_folders(folder)


def load_speech_commands(folder: Path, seed: int = 0) -> Dataset:
    """Reads a folder in the Speech Commands layout.

    `validation_list.txt` and `testing_list.txt` decide the split where the folder has them, the hash of the speaker
    where not. Words that are no class are sampled for "unknown"; "silence" is cut from the background noise.

    Args:
        folder: The folder that holds the words' folders.
        seed: Seed of the choice of unknown words and silence.

    Raises:
        UsageError: The folder has another layout, or a class has no clips in one of the splits.
    """
    missing = _missing_folders(folder)
    if missing:
        raise UsageError(f"{folder} lacks {', '.join(missing)}; expected {LAYOUT}.")
    recordings = [to_waveform(read_wav(path)) for path in sorted((folder / NOISE_FOLDER).glob("*.wav"))]
    recordings = [recording for recording in recordings if len(recording) * 0.1 >= CLIP_SAMPLES]
    if not recordings:
        raise UsageError(f"{folder / NOISE_FOLDER} holds no recording of 10 s or more; expected {LAYOUT}.")
    preprocessing = SpeechPreprocessing(_share(recordings, *NOISE_SHARES["train"]))
    files = _files_by_purpose(folder)
    splits = {}
    for stream, purpose in enumerate(get_args(Purpose)):
        generator = np.random.default_rng([seed, stream])
        clips = _clips(folder, files[purpose], _share(recordings, *NOISE_SHARES[purpose]), generator)
        splits[purpose] = Split(clips.samples, clips.labels, preprocessing)
    return Dataset("speech_commands", CLASSES, **splits)


def split_by_hash(file_name: str) -> Purpose:
    """The split of a clip by the official rule: all clips of a speaker go where the hash of the speaker says."""
    speaker = file_name.split("_nohash_")[0]
    percent = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (HASH_RANGE + 1) * (100.0 / HASH_RANGE)
    if percent < VALIDATION_PERCENT:
        return "validation"
    return "test" if percent < VALIDATION_PERCENT + TEST_PERCENT else "train"


@dataclass
class _Files:
    """The WAV files of one split."""

    targets: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def _missing_folders(folder: Path) -> list[str]:
    return [name for name in (*TARGET_WORDS, NOISE_FOLDER) if not (folder / name).is_dir()]


def _files_by_purpose(folder: Path) -> dict[Purpose, _Files]:
    listed = {
        line.strip(): purpose
        for name, purpose in LISTS.items()
        if (folder / name).is_file()
        for line in (folder / name).read_text().splitlines()
    }
    files: dict[Purpose, _Files] = {purpose: _Files() for purpose in get_args(Purpose)}
    for path in _word_files(folder):
        relative = path.relative_to(folder).as_posix()
        purpose = listed.get(relative, "train") if listed else split_by_hash(path.name)
        word_files = files[purpose]
        (word_files.targets if path.parent.name in TARGET_WORDS else word_files.others).append(path)
    for purpose, found in files.items():
        absent = sorted(set(TARGET_WORDS) - {path.parent.name for path in found.targets})
        if absent:
            raise UsageError(f"{folder} has no {purpose} clips of {', '.join(absent)}; expected {LAYOUT}.")
    return files


def _word_files(folder: Path) -> Iterator[Path]:
    for word in sorted(folder.iterdir()):
        if word.is_dir() and not word.name.startswith(("_", ".")):
            yield from sorted(word.glob("*.wav"))


def _clips(folder: Path, files: _Files, noise: list[Waveform], generator: np.random.Generator) -> Clips:
    wanted_unknown = round(UNKNOWN_FRACTION * len(files.targets))
    if not files.others:
        raise UsageError(f"{folder} has no clips of other words to call unknown; expected {LAYOUT}.")
    others = [files.others[index] for index in generator.permutation(len(files.others))[:wanted_unknown]]
    spoken = [*files.targets, *others]
    labels = [CLASSES.index(path.parent.name) for path in files.targets] + [CLASSES.index(UNKNOWN)] * len(others)
    silence = silence_clips(noise, round(SILENCE_FRACTION * len(files.targets)), generator)
    samples = np.empty((len(spoken) + len(silence), CLIP_SAMPLES), np.int16)
    for index, path in enumerate(spoken):
        samples[index] = one_second(read_wav(path))
    samples[len(spoken) :] = silence
    labels += [CLASSES.index(SILENCE)] * len(silence)
    return Clips(samples, np.array(labels, np.int64))


def _share(recordings: Iterable[Waveform], begin: float, end: float) -> list[Waveform]:
    return [recording[int(begin * len(recording)) : int(end * len(recording))] for recording in recordings]
