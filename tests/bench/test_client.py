"""The host's side of the protocol, against the firmware and against devices that misbehave."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from reds.errors import DeviceError, UsageError
from reds_bench import client, line_port
from reds_bench.client import Bench, OperationCost
from reds_bench.firmware import Firmware, serve
from reds_bench.line_port import Timeouts

QUICK = Timeouts(connect=0.3, reply=0.2, inference=0.2)
SAMPLE = bytes(range(0, 240, 8))
READY = b"m-ready\r\n"
GREETING = {b"name%": b"m-name-dut-[x]\r\n" + READY, b"timestamp%": b"m-lap-us-7\r\n" + READY}


@pytest.fixture
def bench(int8_model: bytes) -> Iterator[Bench]:
    with Firmware(int8_model, "kws01") as firmware, serve(firmware) as url, Bench(url) as bench:
        yield bench


@contextmanager
def device(reply: Callable[[bytes], bytes]) -> Iterator[str]:
    """A device on a socket that answers whatever it receives with `reply`."""

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            while received := connection.recv(4096):
                connection.sendall(reply(received))

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    with listener:
        yield f"socket://127.0.0.1:{listener.getsockname()[1]}"
    thread.join(timeout=1)


def test_a_bench_asks_and_the_device_answers(bench: Bench) -> None:
    assert (bench.name(), bench.profile()) == ("reds-x86", "kws01")
    assert bench.timestamp() <= bench.timestamp()


def test_subnetworks_are_listed(bench: Bench) -> None:
    full, half, quarter = bench.subnetworks()
    assert (full.id, full.name, full.exit, full.macs, full.accuracy) == (0, "width 8", "output", 2184, 0.9)
    assert (half.arena_bytes, half.instructions) == (132, None)
    assert quarter.accuracy is None


def test_an_uploaded_sample_is_inferred(bench: Bench) -> None:
    bench.upload(SAMPLE)
    result = bench.infer(iterations=4, warmup=1)
    assert result.iterations == 4
    assert result.microseconds_per_inference == result.microseconds / 4
    assert result.results == bench.results()
    scores = [(byte ^ 0x80) / 256 for byte in bench.output()]
    assert result.results == pytest.approx(scores, abs=0.0006)


def test_selection_and_budget_hold_for_the_next_inferences(bench: Bench) -> None:
    bench.upload(SAMPLE)
    outputs = []
    for subnetwork in (0, 1, 2):
        bench.select(subnetwork)
        bench.infer()
        outputs.append(bench.output())
    assert len(set(outputs)) == 3
    assert bench.budget(macs=1200) == 1
    bench.infer()
    assert bench.output() == outputs[1]
    assert bench.budget() == 0
    stats = bench.stats()
    assert (stats.selected, stats.inferences, stats.switches, stats.input_bytes) == (0, 4, 4, len(SAMPLE))


def test_an_inference_goes_on_in_another_subnetwork(bench: Bench) -> None:
    bench.upload(SAMPLE)
    bench.infer()
    whole = bench.output()
    assert bench.continue_in(1, operations=1) == 0
    assert bench.output() != whole
    with pytest.raises(DeviceError, match="Subnetwork 1 cannot go on after 9 operations"):
        bench.continue_in(1, operations=9)
    assert bench.output() == whole
    assert bench.stats().selected == 0


def test_an_inference_that_is_sure_does_not_go_on(bench: Bench) -> None:
    bench.upload(SAMPLE)
    bench.select(2)
    assert bench.cascade([0]) == (2, 0)
    assert bench.cascade([]) == (2, 0)


def test_operations_are_profiled(bench: Bench) -> None:
    assert bench.operations()[1] == OperationCost(step=1, layer=1, operation=3, instructions=0)


def test_device_errors_are_raised_and_the_conversation_goes_on(bench: Bench) -> None:
    with pytest.raises(DeviceError, match=r"answered `reds select 9` with: No subnetwork 9\.$"):
        bench.select(9)
    with pytest.raises(DeviceError, match="No subnetwork fits the budget"):
        bench.budget(macs=1)
    assert bench.name() == "reds-x86"


@pytest.mark.parametrize(
    "call",
    [
        lambda bench: bench.upload(b""),
        lambda bench: bench.infer(0),
        lambda bench: bench.infer(1, -1),
        lambda bench: bench.budget(macs=0),
    ],
)
def test_arguments_are_checked_before_anything_is_sent(bench: Bench, call: Callable[[Bench], object]) -> None:
    with pytest.raises(UsageError):
        call(bench)


def test_every_line_is_traced(int8_model: bytes) -> None:
    lines: list[tuple[str, str]] = []
    with (
        Firmware(int8_model) as firmware,
        serve(firmware) as url,
        Bench(url, trace=lambda way, line: lines.append((way, line))) as bench,
    ):
        lines.clear()
        bench.name()
    assert lines == [(">", "name"), ("<", "m-name-dut-[reds-x86]"), ("<", "m-ready")]


def test_a_board_can_be_opened_again_and_in_the_middle_of_a_command(int8_model: bytes) -> None:
    with Firmware(int8_model) as firmware, serve(firmware) as url:
        firmware.exchange(b"half a comm")
        for _ in range(2):
            with Bench(url) as bench:
                assert bench.name() == "reds-x86"


def test_an_echo_is_not_a_device() -> None:
    begin = time.monotonic()
    with pytest.raises(DeviceError, match=r"Port loop:// did not answer `name` within 0\.3 s; check"):
        Bench("loop://", timeouts=QUICK)
    assert time.monotonic() - begin < 2


def test_a_silent_port_is_named_with_the_time_waited() -> None:
    with device(lambda _: b"") as url, pytest.raises(DeviceError, match=rf"Port {url} did not answer .* 0\.3 s; check"):
        Bench(url, timeouts=QUICK)


@pytest.mark.parametrize("url", ["/dev/no-such-port", "socket://127.0.0.1:1"])
def test_a_port_that_cannot_be_opened_is_a_device_error(url: str) -> None:
    with pytest.raises(DeviceError, match=f"Port {url} cannot be opened") as raised:
        Bench(url, timeouts=QUICK)
    assert raised.value.exit_code == 2


def test_a_url_of_an_unknown_kind_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="`port` must be"):
        Bench("carrier-pigeon://home", timeouts=QUICK)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"", r"did not answer `results` within 0\.2 s"),
        (b"m-results-[0.5", r"did not answer `results` within 0\.2 s"),
        (READY, "did not answer its results as the protocol says; received: nothing"),
        (b"m-results-[a,b]\r\n" + READY, "received: m-results-"),
        (b"\xff\xfe\r\n" * 3 + READY, r"received: \?\? \|"),
    ],
    ids=["silence", "half a line", "nothing", "no numbers", "no text"],
)
def test_replies_against_the_protocol_are_device_errors(reply: bytes, message: str) -> None:
    with (
        device(lambda received: GREETING.get(received, reply)) as url,
        Bench(url, timeouts=QUICK) as bench,
        pytest.raises(DeviceError, match=message),
    ):
        bench.results()


def test_a_reply_without_end_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_REPLY_LINES", 100)
    with (
        device(lambda received: GREETING.get(received, b"m\r\n" * 200)) as url,
        Bench(url) as bench,
        pytest.raises(DeviceError, match="does not end"),
    ):
        bench.results()


def test_a_line_without_end_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_port, "MAX_LINE_BYTES", 1000)
    with (
        device(lambda received: GREETING.get(received, b"x" * 2000)) as url,
        Bench(url) as bench,
        pytest.raises(DeviceError, match="sends no lines"),
    ):
        bench.results()


def test_a_connection_that_ends_is_a_device_error(int8_model: bytes) -> None:
    with Firmware(int8_model) as firmware:
        with serve(firmware) as url:
            bench = Bench(url, timeouts=QUICK)
        with pytest.raises(DeviceError, match=r"was lost|did not answer"):
            bench.name()
        bench.close()
