"""Comparisons of kinds at equal cost, on results small enough to follow by hand."""

from typing import Any

from fronts import leads


def result(kind: str, seed: int, *rows: tuple[str, int, float]) -> dict[str, Any]:
    subnetworks = [{"name": name, "macs": macs, "accuracy": accuracy} for name, macs, accuracy in rows]
    return {"kind": kind, "seed": seed, "subnetworks": subnetworks}


def test_leads_are_over_the_front_at_no_more_cost() -> None:
    results = [
        result("joint", 0, ("small", 5, 0.6), ("full", 10, 0.9)),
        result("width", 0, ("tiny", 4, 0.5), ("half", 5, 0.5), ("most", 9, 0.7), ("full", 10, 0.9)),
        result("joint", 1, ("small", 6, 0.8), ("full", 10, 0.9)),
        result("width", 1, ("tiny", 4, 0.5), ("half", 6, 0.7), ("most", 9, 0.6), ("full", 10, 0.8)),
    ]
    found = leads(results, "joint", "width", "macs")
    # "half" is behind "tiny" in the first seed, and "most" behind "half" in the second.
    assert [(one.name, one.cost, one.seeds) for one in found] == [("half", 6, 1), ("most", 9, 1), ("full", 10, 2)]
    assert [round(one.difference, 6) for one in found] == [10.0, -10.0, 5.0]
    assert [one.holds for one in found] == [True, False, True]
    assert found[2].deviation is not None
    assert round(found[2].deviation, 6) == round(50**0.5, 6)
    assert found[0].deviation is None


def test_of_equal_subnetworks_the_first_is_on_the_front() -> None:
    results = [
        result("joint", 0, ("full", 10, 0.9)),
        result("depth", 0, ("full", 10, 0.8), ("last", 10, 0.8), ("worse", 10, 0.7)),
    ]
    assert [one.name for one in leads(results, "joint", "depth", "macs")] == ["full"]
