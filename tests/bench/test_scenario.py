"""Budget traces."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from reds.errors import UsageError
from reds_bench.client import Bench
from reds_bench.firmware import Firmware, serve
from reds_bench.scenario import Scenario, Step, load_scenario, play

SCENARIOS = Path(__file__).parents[2] / "bench" / "scenarios"


def samples(dtype: str) -> list[bytes]:
    return [array.astype(dtype).tobytes() for array in np.random.default_rng(3).normal(0, 20, (3, 30))]


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.toml")), ids=lambda path: path.stem)
def test_the_scenarios_of_the_project_can_be_read(path: Path) -> None:
    assert load_scenario(path).steps


@pytest.mark.parametrize("element_type", ["int8", "float32"])
def test_the_board_follows_the_budget(element_type: str, request: pytest.FixtureRequest) -> None:
    steps = (Step(2, macs_fraction=1.0), Step(2, macs_fraction=0.5), Step(1, arena_bytes=400, macs=600))
    inputs = samples("<f4" if element_type == "float32" else element_type)
    model = request.getfixturevalue(f"{element_type}_model")
    with Firmware(model) as firmware, serve(firmware) as url, Bench(url) as bench:
        records = list(play(bench, Scenario("", steps), inputs, element_type, labels=[0, 1, 2]))
        bench.upload(inputs[0])
        bench.select(0)
        best = int(np.argmax(bench.infer().results))
    assert [record.step for record in records] == [0, 0, 1, 1, 2]
    assert [record.sample for record in records] == [0, 1, 2, 0, 1]
    assert [record.subnetwork for record in records] == [0, 0, 1, 1, 2]
    assert [record.label for record in records] == [0, 1, 2, 0, 1]
    assert records[0].predicted == best
    assert records[2].budget.macs == 1092
    assert json.loads(json.dumps(dataclasses.asdict(records[4])))["budget"]["arena_bytes"] == 400


@pytest.mark.parametrize(
    "content",
    [
        "",
        "steps = 3",
        "[[steps]]\nmacs = 3",
        "[[steps]]\ninferences = 0",
        "[[steps]]\ninferences = true",
        "[[steps]]\ninferences = 1\nmacs = -1",
        "[[steps]]\ninferences = 1\nmacs = 1\nmacs_fraction = 0.5",
        "[[steps]]\ninferences = 1\nwatts = 1",
        "not toml",
    ],
)
def test_a_file_that_is_no_scenario_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"scenario\.toml"):
        load_scenario(path)


def test_labels_must_fit_the_samples() -> None:
    with (
        Firmware(b"") as firmware,
        serve(firmware) as url,
        Bench(url) as bench,
        pytest.raises(UsageError, match="`samples`"),
    ):
        next(play(bench, Scenario("", (Step(1),)), [b"1", b"2"], "int8", labels=[1]))
