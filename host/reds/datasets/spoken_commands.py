"""Spoken commands without a download: the words of Speech Commands, spoken by the speech synthesizer espeak-ng.

Every voice (accent and timbre) says every word once, at its own rate and pitch, somewhere in a noisy second.
Timbres of the test are never heard in training.
"""

import functools
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reds.datasets.audio import (
    Pcm,
    Waveform,
    decode_wav,
    resample,
    synthetic_noise,
    to_pcm,
    to_waveform,
)
from reds.datasets.dataset import Dataset, Split
from reds.datasets.features import CLIP_SAMPLES, SAMPLE_RATE
from reds.datasets.progress import with_progress
from reds.datasets.speech import (
    CLASSES,
    OTHER_WORDS,
    SILENCE,
    TARGET_WORDS,
    UNKNOWN,
    SpeechPreprocessing,
    random_cut,
    silence_clips,
)
from reds.errors import UsageError

CONTENT_VERSION = 1
"""Raised with every change of what is generated; part of the cached file's name."""

CORPUS_SEED = 2718

ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-gb-x-rp", "en-029")
# fmt: off
TIMBRES = {
    "train": (
        "m1", "m2", "m3", "m5", "m6", "m8", "f1", "f2", "f4", "croak", "whisper", "whisperf", "klatt", "klatt2",
        "klatt4", "Andy", "Alicia", "Denis", "Gene", "Jacky", "Lee", "Michael", "Steph", "boris", "linda", "pablo",
        "travis", "victor",
    ),
    "validation": ("f5", "klatt3", "aunty", "Mario"),
    "test": ("m4", "m7", "f3", "Annie", "belinda", "edward", "grandma", "sandro"),
}
# fmt: on

NOISE_SECONDS = 20
WORDS_PER_MINUTE = (120, 240)
PITCH = (20, 80)
LOUDNESS = (0.15, 0.8)
SIGNAL_TO_NOISE_DECIBEL = (3.0, 25.0)
TILT_DECIBEL_PER_OCTAVE = (-3.0, 3.0)
SILENCE_LEVEL = 1e-3
"""Sound below this is not part of the word."""

SPLITS = tuple(TIMBRES)


class Utterance(NamedTuple):
    """One word by one voice."""

    split: str
    label: int
    word: str
    voice: str


@dataclass(frozen=True, eq=False)
class Corpus:
    """What is generated once and kept in the cache: arrays by name."""

    arrays: dict[str, np.ndarray]

    def split(self, name: str) -> Split:
        noise = list(self.arrays["noise"])
        return Split(self.arrays[f"{name}_samples"], self.arrays[f"{name}_labels"], SpeechPreprocessing(noise))


def load_spoken_commands() -> Dataset:
    """The generated data set; the first call generates it, later ones read it from the cache.

    Raises:
        UsageError: espeak-ng is not installed, and the cache holds no earlier result.
    """
    path = cache_folder() / f"spoken_commands-{CONTENT_VERSION}.npz"
    corpus = _read(path)
    if corpus is None:
        corpus = generate()
        _write(path, corpus)
    return Dataset("spoken_commands", CLASSES, **{name: corpus.split(name) for name in SPLITS})


def cache_folder() -> Path:
    """`REDS_CACHE`, or `reds` in the user's cache folder."""
    chosen = os.environ.get("REDS_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reds"


def utterances(timbres_per_split: int | None = None) -> list[Utterance]:
    """Everything that is said, in order.

    Args:
        timbres_per_split: Takes only the first timbres of each split.
    """
    return list(_utterances(timbres_per_split))


def generate(timbres_per_split: int | None = None) -> Corpus:
    """Speaks and mixes all clips; the same at every call with the same espeak-ng.

    Args:
        timbres_per_split: Makes a small corpus of only the first timbres of each split.

    Raises:
        UsageError: espeak-ng is not installed or fails.
    """
    if shutil.which("espeak-ng") is None:
        raise UsageError(
            "The spoken_commands data set is generated with espeak-ng, which is not installed: install the Debian "
            "package espeak-ng, or set REDS_DATA to a folder that holds Speech Commands."
        )
    plan = utterances(timbres_per_split)
    noise = synthetic_noise(NOISE_SECONDS * SAMPLE_RATE, np.random.default_rng(CORPUS_SEED))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        clips = pool.map(
            lambda numbered: _clip(numbered[1], noise, np.random.default_rng([CORPUS_SEED, numbered[0]])),
            enumerate(plan),
        )
        spoken = np.stack(list(with_progress(clips, len(plan), "Generating spoken commands")))
    return _corpus(plan, spoken, noise)


def _utterances(timbres_per_split: int | None) -> Iterator[Utterance]:
    for split, timbres in TIMBRES.items():
        for number, (accent, timbre) in enumerate(product(ACCENTS, timbres[:timbres_per_split])):
            voice = f"{accent}+{timbre}"
            for word in TARGET_WORDS:
                yield Utterance(split, CLASSES.index(word), word, voice)
            other = OTHER_WORDS[number % len(OTHER_WORDS)]
            yield Utterance(split, CLASSES.index(UNKNOWN), other, voice)


def _clip(utterance: Utterance, noise: list[Waveform], generator: np.random.Generator) -> Pcm:
    """A word at a random place, loudness and colour in a second of noise."""
    word = _tilted(_spoken(utterance, generator), generator.uniform(*TILT_DECIBEL_PER_OCTAVE))
    word = word[:CLIP_SAMPLES]
    clip = np.zeros(CLIP_SAMPLES, np.float32)
    start = generator.integers(CLIP_SAMPLES - len(word) + 1)
    clip[start : start + len(word)] = word
    background = random_cut(noise, generator)
    ratio = 10 ** (generator.uniform(*SIGNAL_TO_NOISE_DECIBEL) / 20)
    clip += background * np.float32(_level(word) / (_level(background) * ratio))
    return to_pcm(clip * np.float32(generator.uniform(*LOUDNESS) / np.abs(clip).max()))


def _spoken(utterance: Utterance, generator: np.random.Generator) -> Waveform:
    """The word alone at 16 kHz, without the silence around it."""
    rate, pitch = generator.integers(*WORDS_PER_MINUTE), generator.integers(*PITCH)
    command = [
        "espeak-ng",
        *_repeatable(),
        "-v",
        utterance.voice,
        "-s",
        str(rate),
        "-p",
        str(pitch),
        "--stdout",
        utterance.word,
    ]
    finished = subprocess.run(command, capture_output=True, check=False)
    if finished.returncode:
        message = finished.stderr.decode(errors="replace").strip()
        raise UsageError(f"'{' '.join(command)}' failed ({message}): re-install the Debian package espeak-ng.")
    samples, sample_rate = decode_wav(finished.stdout, f"The output of '{' '.join(command)}'")
    waveform = resample(to_waveform(samples), sample_rate, SAMPLE_RATE)
    loud = np.flatnonzero(np.abs(waveform) > SILENCE_LEVEL)
    if not len(loud):
        raise UsageError(f"'{' '.join(command)}' gave no sound: re-install the Debian package espeak-ng.")
    return waveform[loud[0] : loud[-1] + 1]


@functools.cache
def _repeatable() -> tuple[str, ...]:
    """The option that fixes the noise of breathy voices; releases before 1.52 have none and always make the same."""
    usage = subprocess.run(["espeak-ng", "--help"], capture_output=True, check=False, text=True).stdout
    return ("-D",) if "deterministic" in usage else ()


def _tilted(word: Waveform, decibel_per_octave: float) -> Waveform:
    """The word as a brighter or duller microphone hears it, 1 kHz unchanged."""
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(word), 1 / SAMPLE_RATE), 50.0) / 1000.0)
    spectrum = np.fft.rfft(word) * 10 ** (decibel_per_octave * octaves / 20)
    return np.fft.irfft(spectrum, len(word)).astype(np.float32)


def _level(waveform: Waveform) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def _corpus(plan: list[Utterance], spoken: Pcm, noise: list[Waveform]) -> Corpus:
    arrays: dict[str, np.ndarray] = {"noise": np.stack(noise)}
    for stream, split in enumerate(SPLITS):
        chosen = [index for index, utterance in enumerate(plan) if utterance.split == split]
        labels = [plan[index].label for index in chosen]
        count = labels.count(CLASSES.index(UNKNOWN))
        silence = silence_clips(noise, count, np.random.default_rng([CORPUS_SEED, len(plan) + stream]))
        labels += [CLASSES.index(SILENCE)] * count
        arrays[f"{split}_samples"] = np.concatenate([spoken[chosen], silence])
        arrays[f"{split}_labels"] = np.array(labels, np.int64)
    return Corpus(arrays)


def _read(path: Path) -> Corpus | None:
    """The cached corpus, or None where there is none that can be read."""
    try:
        with np.load(path) as stored:
            return Corpus({name: stored[name] for name in stored.files})
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, corpus: Corpus) -> None:
    """Writes next to the final place and renames, so that a reader never sees half a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as partial:
            try:
                np.savez(partial, allow_pickle=False, **corpus.arrays)
                partial.close()
                os.replace(partial.name, path)
            except BaseException:
                os.unlink(partial.name)
                raise
    except OSError as error:
        raise UsageError(
            f"The generated data set cannot be stored in {path.parent} ({error.strerror}): set REDS_CACHE to a folder "
            "that is writable and has 120 MB to spare."
        ) from error
