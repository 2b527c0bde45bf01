"""Tables of several seeds as one."""

import pytest

from reds.baselines.table import budget_of, mean_table


def row(name: str, exit: str = "output", macs: int = 100, accuracy: float = 0.5) -> dict:
    costs = {"macs": macs, "parameters": 1, "flash_bytes": 1, "arena_bytes": 1}
    return {"id": 7, "name": name, "exit": exit, "widths": (macs,), "targets": {}, "accuracy": accuracy, **costs}


def test_one_seed_has_no_deviation() -> None:
    assert mean_table([{"subnetworks": [row("a")]}])["subnetworks"][0]["deviation"] is None


def test_a_budget_that_seeds_meet_through_different_exits_is_one_row() -> None:
    first = [row("100%", macs=200, accuracy=0.9), row("50%@exit_a", "exit_a", 80, 0.5)]
    second = [row("100%", macs=200, accuracy=0.9), row("50%", macs=90, accuracy=0.7), row("25%", macs=50)]
    full, half, quarter = mean_table([{"subnetworks": first}, {"subnetworks": second}], budget_of)["subnetworks"]
    assert (full["name"], full["exit"], full["accuracies"], full["deviation"]) == ("100%", "output", [0.9, 0.9], 0)
    assert (half["name"], half["exit"], half["macs"], half["widths"]) == ("50%", "exit_a, output", 85, (80,))
    assert half["accuracies"] == [0.5, 0.7]
    assert half["accuracy"] == pytest.approx(0.6)
    assert (quarter["name"], quarter["accuracies"], quarter["deviation"]) == ("25%", [0.5], None)
    assert [one["id"] for one in (full, half, quarter)] == [0, 1, 2]


def test_an_exit_that_all_seeds_take_stays_in_the_name() -> None:
    tables = [{"subnetworks": [row("50%@exit_a", "exit_a")]}] * 2
    assert mean_table(tables, budget_of)["subnetworks"][0]["name"] == "50%@exit_a"


def test_subnetworks_of_a_budget_stay_apart_where_they_are_different_ones() -> None:
    table = {"subnetworks": [row("50%"), row("50%@exit_a", "exit_a")]}
    assert [one["name"] for one in mean_table([table, table])["subnetworks"]] == ["50%", "50%@exit_a"]
