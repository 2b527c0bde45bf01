"""What the record says of the published cuts, and that it is what the program measures today."""

import json
from dataclasses import asdict
from pathlib import Path

import cuts

RECORD = Path(cuts.__file__).with_suffix(".json")
ROWS = json.loads(RECORD.read_text(encoding="utf-8"))["rows"]


def test_every_cut_has_the_published_parameters_and_macs() -> None:
    assert len(ROWS) == sum(1 + 2 * len(network.cuts) for network in cuts.NETWORKS)
    for row in ROWS:
        assert row["parameters"] == row["published"]["parameters"], row
        assert row["macs"] == row["published"]["macs"], row


def test_no_plain_model_is_larger_than_published_and_files_are_by_their_plan_at_most() -> None:
    for row in ROWS:
        published = 1000 * row["published"]["kilobytes"]
        assert row["extracted_bytes"] < published, row
        allowed = 1000 if row["head"] == "dense" else 0
        assert row["file_bytes"] < published + allowed, row


def test_the_smallest_cuts_are_measured_as_recorded() -> None:
    network = cuts.NETWORKS[1]
    measured = [asdict(row) for row in cuts.measure(network, "dense", network.cuts[:1])]
    recorded = [row for row in ROWS if row["network"] == network.name and row["head"] in ("", "dense")]
    assert measured == recorded[:2]
