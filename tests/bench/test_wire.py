"""The firmware's side of the protocol, byte for byte: what goes in, what comes out."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import random_supernet_with_exit

from reds.emitting import encode
from reds.graph import INPUT, Dense, Family, Graph, Node, Subnetwork, Supernet
from reds.model_file import decode, read_model_file
from reds.quantizing import quantize
from reds_bench.firmware import Firmware

READY = b"m-ready\r\n"
NAME = b"m-name-dut-[reds-x86]\r\n" + READY
UPLOAD_BYTES = 256 << 10
BROKEN = b"this is not a model"

StartFirmware = Callable[..., Firmware]


@pytest.fixture
def board(start_firmware: StartFirmware, int8_model: bytes) -> Firmware:
    """A board that has greeted."""
    firmware = start_firmware(int8_model, "kws01")
    firmware.exchange(b"")
    return firmware


def answer(firmware: Firmware, command: str) -> str:
    """The reply to one command, without its last line, which must be `m-ready`."""
    said = firmware.exchange(command.encode() + b"%")
    assert said.endswith(READY)
    return said[: -len(READY)].decode()


def test_boot_greets_in_the_order_of_mlperf_tiny(start_firmware: StartFirmware, int8_model: bytes) -> None:
    said = start_firmware(int8_model).exchange(b"")
    assert re.fullmatch(rb"m-timestamp-mode-performance\r\nm-lap-us-[0-9]+\r\nm-init-done\r\nm-ready\r\n", said)


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("name", "m-name-dut-[reds-x86]\r\n"),
        ("  name  ", "m-name-dut-[reds-x86]\r\n"),
        ("profile", "m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\nm-model-[kws01]\r\n"),
        ("", "e-[Unknown command: ]\r\n"),
        ("Name", "e-[Unknown command: Name]\r\n"),
        ("names and more", "e-[Unknown command: names]\r\n"),
        ("\r\nname", "e-[Unknown command: ??name]\r\n"),
        ("reds", "e-[Unknown command: reds]\r\n"),
        ("db", "e-[Command 'db' requires a subcommand]\r\n"),
        ("db load", "e-[Command 'db load' requires the # of bytes]\r\n"),
        ("db load 0", "e-[Command 'db load' must be >0 bytes]\r\n"),
        ("db load -1", "e-[Command 'db load' must be >0 bytes]\r\n"),
        ("db load many", "e-[Command 'db load' must be >0 bytes]\r\n"),
        (f"db load {UPLOAD_BYTES}", f"m-[Expecting {UPLOAD_BYTES} bytes]\r\n"),
        (f"db load {UPLOAD_BYTES + 1}", f"e-[Command 'db load' takes at most {UPLOAD_BYTES} bytes]\r\n"),
        ("db load 99999999999999999999", f"e-[Command 'db load' takes at most {UPLOAD_BYTES} bytes]\r\n"),
        ("db 00", "e-[Command 'db' takes bytes only after 'db load']\r\n"),
        ("db 123", "e-[Insufficent number of hex digits]\r\n"),
        ("db print", ""),
        ("infer 0", "e-[Inference iterations must be >0]\r\n"),
        ("infer -3", "e-[Inference iterations must be >0]\r\n"),
        ("infer 1 -1", "e-[Inference warmup must be >=0]\r\n"),
        ("reds select", "e-[Command 'reds select' takes the number of a subnetwork]\r\n"),
        ("reds select x", "e-[Command 'reds select' takes the number of a subnetwork]\r\n"),
        ("reds select 3", "e-[No subnetwork 3]\r\n"),
        ("reds select 4294967296", "e-[No subnetwork 4294967296]\r\n"),
        ("reds select 1", "m-reds-selected-[1]\r\n"),
        ("reds budget", "m-reds-selected-[0]\r\n"),
        ("reds budget macs=2184", "m-reds-selected-[0]\r\n"),
        ("reds budget macs=2183", "m-reds-selected-[1]\r\n"),
        ("reds budget arena=100 macs=9999", "m-reds-selected-[2]\r\n"),
        ("reds budget macs=99999999999", "m-reds-selected-[0]\r\n"),
        ("reds budget macs=1", "e-[No subnetwork fits the budget]\r\n"),
        (
            "reds continue 1",
            "e-[Command 'reds continue' takes a number of operations and the number of a subnetwork]\r\n",
        ),
        ("reds continue 1 1", "m-reds-continued-[1,0]\r\n"),
        ("reds continue 0 1", "e-[Subnetwork 1 cannot go on after 0 operations]\r\n"),
        ("reds continue 4294967295 2", "e-[Subnetwork 2 cannot go on after 4294967295 operations]\r\n"),
        ("reds continue 1 3", "e-[No subnetwork 3]\r\n"),
        ("reds cascade", "m-reds-cascaded-[0,0]\r\n"),
        ("reds cascade 1 2", "m-reds-cascaded-[0,0]\r\n"),
        ("reds budget us=1", "e-[Command 'reds budget' cannot limit us on this board]\r\n"),
        ("reds budget macs", "e-[Command 'reds budget' takes macs=N arena=N us=N]\r\n"),
        ("reds budget macs=", "e-[Command 'reds budget' takes macs=N arena=N us=N]\r\n"),
        ("reds budget cycles=3", "e-[Command 'reds budget' takes macs=N arena=N us=N]\r\n"),
        (
            "reds list",
            "m-reds-subnetwork-[0,width 8,output,2184,252,0,9000]\r\n"
            "m-reds-subnetwork-[1,width 4,output,1092,132,0,8000]\r\n"
            "m-reds-subnetwork-[2,width 2,output,546,72,0,-1]\r\n",
        ),
    ],
)
def test_reply(board: Firmware, command: str, reply: str) -> None:
    assert answer(board, command) == reply


def test_timestamp_is_a_lap_and_never_goes_back(board: Firmware) -> None:
    laps = [re.fullmatch(r"m-lap-us-([0-9]+)\r\n", answer(board, "timestamp")) for _ in range(2)]
    assert int(laps[0][1]) <= int(laps[1][1])  # type: ignore[index]


def test_help_is_several_lines_and_no_other_line_says_ready(board: Firmware) -> None:
    lines = answer(board, "help").split("\r\n")
    assert len(lines) > 10
    assert "m-ready" not in "".join(lines)


def test_eight_commands_pasted_at_once_are_all_answered(board: Firmware) -> None:
    assert board.exchange(b"name%" * 8) == NAME * 8


def test_bytes_may_come_one_by_one(board: Firmware) -> None:
    assert b"".join(board.exchange(bytes([byte])) for byte in b"name%") == NAME


@pytest.mark.parametrize("size", [79, 80, 81, 200])
def test_a_command_keeps_its_first_80_bytes(board: Firmware, size: int) -> None:
    assert answer(board, "x" * size) == f"e-[Unknown command: {'x' * min(size, 80)}]\r\n"


def test_what_follows_80_bytes_is_dropped(board: Firmware) -> None:
    assert board.exchange(b"name".ljust(80) + b"junk%") == NAME


def test_upload_is_done_with_the_last_byte_and_ignores_digits_behind_it(board: Firmware) -> None:
    answer(board, "db load 3")
    assert answer(board, "db 0a") == ""
    assert answer(board, "db fFB0zz") == "m-load-done\r\n"
    assert answer(board, "db print") == "m-buffer-0a-ff-b0\r\n\r\n"
    assert answer(board, "db 00") == "e-[Command 'db' takes bytes only after 'db load']\r\n"


def test_upload_prints_eight_bytes_per_line(board: Firmware) -> None:
    answer(board, "db load 16")
    answer(board, "db 000102030405060708090a0b0c0d0e0f")
    lines = "m-buffer-00-01-02-03-04-05-06-07\r\nm-buffer-08-09-0a-0b-0c-0d-0e-0f\r\n"
    assert answer(board, "db print") == lines


def test_a_bad_digit_is_named_and_the_upload_goes_on(board: Firmware) -> None:
    answer(board, "db load 2")
    assert answer(board, "db 01g0") == "e-[Invalid hex digit 'g0']\r\n"
    assert answer(board, "db 02") == "m-load-done\r\n"
    assert answer(board, "db print") == "m-buffer-01-02\r\n\r\n"


def test_a_refused_load_accepts_no_bytes(board: Firmware) -> None:
    answer(board, "db load 2")
    answer(board, f"db load {UPLOAD_BYTES + 1}")
    assert answer(board, "db 0102") == "e-[Command 'db' takes bytes only after 'db load']\r\n"


def test_a_new_load_forgets_the_bytes_before(board: Firmware) -> None:
    answer(board, "db load 2")
    answer(board, "db 0102")
    answer(board, "db load 2")
    assert answer(board, "db print") == "m-buffer-00-00\r\n\r\n"


@pytest.mark.parametrize(
    ("command", "iterations", "warmup"), [("infer", 1, 10), ("infer 3", 3, 10), ("infer 2 0", 2, 0)]
)
def test_infer_reports_in_the_order_of_mlperf_tiny(board: Firmware, command: str, iterations: int, warmup: int) -> None:
    pattern = (
        rf"m-warmup-start-{warmup}\r\nm-warmup-done\r\nm-infer-start-{iterations}\r\n"
        r"m-lap-us-[0-9]+\r\nm-lap-us-[0-9]+\r\nm-infer-done\r\nm-results-\[0\.[0-9]{3},0\.[0-9]{3},0\.[0-9]{3}\]\r\n"
    )
    assert re.fullmatch(pattern, answer(board, command))
    assert f"inferences={iterations + warmup}," in answer(board, "reds stats")


def test_infer_gives_the_same_for_one_input_however_often_it_runs(board: Firmware) -> None:
    answer(board, "db load 30")
    answer(board, f"db {bytes(range(0, 240, 8)).hex()}")
    answer(board, "infer 1 0")
    once = answer(board, "reds output")
    answer(board, "infer 5 5")
    assert answer(board, "reds output") == once


def test_results_repeat_the_scores_of_the_last_inference(board: Firmware) -> None:
    said = answer(board, "infer 1 0")
    assert said.endswith(answer(board, "results"))
    scores = [int(byte, 16) for byte in re.findall("..", answer(board, "reds output")[15:-3])]
    expected = ",".join(f"{((score ^ 0x80) & 0xFF) / 256:.3f}" for score in scores)
    assert answer(board, "results") == f"m-results-[{expected}]\r\n"


def test_stats_name_everything_and_leave_the_selection(board: Firmware) -> None:
    answer(board, "reds select 1")
    keys = (
        "selected=1,subnetworks=3,inferences=0,switches=1,arena_bytes=132,input_bytes=30,output_bytes=3,"
        "last_instructions=0,select_instructions=0,budget_instructions=0,open_instructions=0,unit=instructions"
    )
    assert answer(board, "reds stats") == f"m-reds-stats-[{keys}]\r\n"
    assert answer(board, "reds stats") == f"m-reds-stats-[{keys}]\r\n"


def test_profile_lists_the_operations_of_the_selected_subnetwork(board: Firmware) -> None:
    lines = [f"m-reds-operation-[{i},{i},{operation},0]\r\n" for i, operation in enumerate((0, 3, 2, 6))]
    answer(board, "infer 1 0")
    output = answer(board, "reds output")
    assert answer(board, "reds profile") == "".join(lines)
    assert answer(board, "reds output") == output


def test_a_small_arena_is_named_where_it_is_too_small(start_firmware: StartFirmware, int8_model: bytes) -> None:
    board = start_firmware(int8_model, arena_bytes=160)
    board.exchange(b"")
    assert answer(board, "reds budget") == "m-reds-selected-[1]\r\n"
    assert answer(board, "reds select 0") == "e-[The arena is too small for subnetwork 0]\r\n"


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        ("", "m-reds-cascaded-[3,0]\r\n"),
        ("0", "m-reds-cascaded-[0,0]\r\n"),
        ("0 1", "m-reds-cascaded-[0,0]\r\n"),
        ("1", "m-reds-cascaded-[1,0]\r\n"),
        ("3 0", "m-reds-cascaded-[0,0]\r\n"),
        ("9", "e-[No subnetwork 9]\r\n"),
        ("x", "e-[Command 'reds cascade' takes numbers of subnetworks]\r\n"),
    ],
)
def test_an_inference_that_is_never_sure_goes_on(start_firmware: StartFirmware, words: str, reply: str) -> None:
    board = start_firmware(exit_that_is_never_sure())
    board.exchange(b"")
    answer(board, "reds select 3")
    assert answer(board, f"reds cascade {words}") == reply
    assert answer(board, "reds select 3") == "m-reds-selected-[3]\r\n"


def test_a_subnetwork_that_cannot_go_on_runs_from_the_input(start_firmware: StartFirmware, int8_model: bytes) -> None:
    """From the narrowest one, which is never sure, to wider ones that would not be either."""
    network = decode(read_model_file(int8_model))
    never_sure = tuple(replace(one, threshold=2.0) for one in network.subnetworks)
    board = start_firmware(encode(replace(network, subnetworks=never_sure)))
    board.exchange(b"")
    answer(board, "db load 30")
    answer(board, f"db {bytes(range(0, 240, 8)).hex()}")
    outputs = []
    for subnetwork in (0, 1, 2):
        answer(board, f"reds select {subnetwork}")
        answer(board, "infer 1 0")
        outputs.append(answer(board, "reds output"))
    for asked, last in (("", 2), ("1", 1), ("1 0", 0), ("0", 0)):
        assert answer(board, f"reds cascade {asked}") == f"m-reds-cascaded-[{last},0]\r\n"
        assert answer(board, "reds output") == outputs[last]
    assert "selected=2," in answer(board, "reds stats")


def exit_that_is_never_sure() -> bytes:
    """The last of its four subnetworks leaves through an exit; it has all channels, the second one has fewer."""
    supernet = random_supernet_with_exit(seed=15)
    shape = (8, *supernet.family.graph.input_shape)
    network = quantize(supernet, "int8", np.random.default_rng(0).standard_normal(shape, np.float32))
    own, early = network.exits
    return encode(replace(network, exits=(own, replace(early, threshold=2.0))))


REDS_VERBS = ("list", "select", "budget", "continue", "cascade", "stats", "output", "profile")
MODEL_COMMANDS = ("infer", "results", *(f"reds {verb}" for verb in REDS_VERBS))


def test_a_model_that_does_not_open_is_reported_at_boot(start_firmware: StartFirmware) -> None:
    said = start_firmware(BROKEN).exchange(b"")
    assert re.fullmatch(
        rb"m-timestamp-mode-performance\r\nm-lap-us-[0-9]+\r\ne-\[.+\]\r\nm-init-done\r\n" + READY, said
    )


@pytest.mark.parametrize("command", MODEL_COMMANDS)
def test_a_model_that_does_not_open_is_reported_by_every_command_that_needs_it(
    start_firmware: StartFirmware, command: str
) -> None:
    board = start_firmware(BROKEN)
    error = re.search(rb"e-\[.+\]\r\n", board.exchange(b""))
    assert error is not None
    assert answer(board, command).encode() == error[0]
    assert board.exchange(b"name%") == NAME
    assert answer(board, "db load 4") == "m-[Expecting 4 bytes]\r\n"


@pytest.fixture(scope="module")
def fuzzed_board(int8_model: bytes) -> Firmware:
    firmware = Firmware(int8_model)
    firmware.exchange(b"")
    return firmware


KNOWN_WORDS = ("name", "profile", "help", "timestamp", "db", "load", "print", "infer", "results", "reds", *REDS_VERBS)
ARGUMENTS = (
    "0",
    "1",
    "2",
    "3",
    "-1",
    "30",
    "zz",
    "0a0b",
    "macs=1",
    "macs=2000",
    "arena=100",
    "us=5",
    "=",
    "macs=",
    "%",
)
LINES = st.lists(st.sampled_from(KNOWN_WORDS + ARGUMENTS), max_size=40).map(lambda words: " ".join(words).encode())


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.one_of(st.binary(max_size=300), LINES))
def test_after_any_bytes_the_board_answers(fuzzed_board: Firmware, noise: bytes) -> None:
    said = fuzzed_board.exchange(noise + b"%")
    assert said.count(READY) == noise.count(b"%") + 1
    assert fuzzed_board.exchange(b"name%") == NAME


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.binary(max_size=120).filter(lambda noise: b"%" not in noise))
def test_no_noise_forges_a_line(fuzzed_board: Firmware, noise: bytes) -> None:
    lines = fuzzed_board.exchange(b"!" + noise + b"%").split(b"\r\n")
    assert len(lines) == 3
    assert lines[0].startswith(b"e-[Unknown command: !")


@pytest.fixture(scope="module")
def echo_board() -> Firmware:
    """A float32 network that returns its four inputs."""
    weights = {"kernel": np.eye(4, dtype=np.float32), "bias": np.zeros(4, np.float32)}
    graph = Graph("echo", (4,), (4,), (Node("dense", Dense(), (INPUT,), (1, 1, 4), None, None, weights),), ())
    family = Family(graph, (), (), (Subnetwork("full", ()),))
    firmware = Firmware(encode(quantize(Supernet(family, ({},)), "float32")))
    firmware.exchange(b"")
    return firmware


# Sums of products with zeros and ones are exact; a negative zero would become a positive one.
SCORES = st.floats(width=32, min_value=-(2.0**39), max_value=2.0**39).filter(lambda value: value != 0)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(SCORES, min_size=4, max_size=4))
def test_results_are_printed_as_printf_prints_them(echo_board: Firmware, values: list[float]) -> None:
    answer(echo_board, "db load 16")
    answer(echo_board, f"db {np.array(values, '<f4').tobytes().hex()}")
    answer(echo_board, "infer 1 0")
    assert answer(echo_board, "results") == f"m-results-[{','.join(f'{value:.3f}' for value in values)}]\r\n"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((0.0625, 0.1875, -0.0001, 0.9996), "0.062,0.188,-0.000,1.000"),
        ((1e30, -1e30, 1.0, 2.0), "inf,-inf,1.000,2.000"),
    ],
)
def test_results_show_ties_and_what_is_no_score(echo_board: Firmware, values: tuple[float, ...], shown: str) -> None:
    answer(echo_board, "db load 16")
    answer(echo_board, f"db {np.array(values, '<f4').tobytes().hex()}")
    answer(echo_board, "infer 1 0")
    assert answer(echo_board, "results") == f"m-results-[{shown}]\r\n"
