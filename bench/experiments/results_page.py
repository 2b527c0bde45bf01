"""Writes docs/results.md, and the README's table, from the records beside this file.

    python bench/experiments/results_page.py

Each section names the command that made its record, so a number on the page can always be made again.
"""

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from fronts import leads
from rivals import CORE, GOALS, RIVALS, WIDTHS

from reds.files import write_atomically

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

PAGE_WIDTH = 160
"""Characters of a line of text."""

INTRODUCTION = """\
Every number here comes from the command beside it; the machine-readable record is the file named with it, and this
page is made from the records by `python bench/experiments/results_page.py`. Instructions are retired instructions under
QEMU's `-icount shift=0`, the same in every run; they are not cycles. Accuracies are measured by libreds on the test
split. Training is seeded and repeats to the bit on the same machine; another number of cores sums in another order, so
expect a few tenths of a point of difference elsewhere. `DATA` stands for a folder with the official data sets.
"""


@dataclass(frozen=True)
class Section:
    """A part of the page, made from one record."""

    record: str
    """File beside this one; the section is left out while it does not exist."""
    write: Callable[[Any], str]
    """The section's Markdown from the record's content."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def paragraph(*sentences: str) -> str:
    """Sentences as lines that a person can read in an editor."""
    return textwrap.fill(" ".join(sentences), PAGE_WIDTH, break_long_words=False, break_on_hyphens=False)


def link(record: str) -> str:
    """Names a record."""
    return f"Record: [`{record}`](../bench/experiments/{record})."


def subnetworks_table(subnetworks: Sequence[dict]) -> str:
    """The subnetworks of a run."""
    full = subnetworks[0]["macs"]
    header = ("subnetwork", "MACs", "of full", "parameters", "flash B", "arena B", "Cortex-M4 instructions", "accuracy")
    rows = (
        (
            row["name"],
            f"{row['macs']:,}",
            f"{row['macs'] / full:.0%}",
            f"{row['parameters']:,}",
            f"{row['flash_bytes']:,}",
            f"{row['arena_bytes']:,}",
            f"{row['targets']['cortex-m4']['instructions']:,}",
            f"{row['accuracy']:.1%}",
        )
        for row in subnetworks
    )
    return table(header, rows)


def _demo(title: str, command: str, record_name: str, data: str) -> Callable[[dict], str]:
    def write(record: dict) -> str:
        trace, checks = record["trace"], record["verification"]["checks"]
        costs = paragraph(
            f"Selecting a subnetwork takes {record['switch_instructions']} instructions, a budget request with",
            f"selection {record['budget_instructions']}, opening the file {record['open_instructions']:,},",
            "its checksum included.",
            f"While the budget changed, the board answered {trace['right']} of {trace['inferences']} clips right;",
            f"{len(checks)} comparisons of the proofs held.",
            f"The whole took {record['seconds']:.0f} s on two shared cores.",
        )
        return "\n\n".join(
            [
                f"## {title}",
                f"    {command}",
                paragraph(data, link(record_name)),
                subnetworks_table(record["subnetworks"]),
                costs,
            ]
        )

    return write


def _verification(title: str, command: str, record_name: str) -> Callable[[dict], str]:
    def write(record: dict) -> str:
        rows = [
            (str(check["proof"]), check["what"], check["subnetwork"], str(check["samples"]), check["detail"])
            for check in record["checks"]
        ]
        outcome = "All comparisons hold." if record["passed"] else "Not all comparisons hold."
        header = ("proof", "comparison", "subnetwork", "inputs", "result")
        return f"## {title}\n\n    {command}\n\n{outcome} {link(record_name)}\n\n{table(header, rows)}"

    return write


def _searches(record: dict) -> str:
    rows = [
        (
            search["architecture"],
            " ".join(search["options"]),
            search["importance"],
            *_gaps(search),
            f"{search['seconds']:.2f}",
            f"{search['process_seconds']:.1f}",
            f"{search['peak_memory_bytes'] / 1e6:.0f}",
        )
        for search in record["searches"]
    ]
    machine = record["machine"]
    text = paragraph(
        "Budgets of 25, 50 and 75 %, of the true multiply-accumulates where no metric is named, width multiple 1,",
        "three nested subnetworks each. The gap is to the bound that the search itself proves, in joint order that of",
        "all three together. The memory is nearly all TensorFlow's, which reads the Keras model.",
        f"{machine['cores']} shared cores ({machine['processor']}).",
        link("solver.json"),
    )
    header = ("network", "options", "importance", "gap 25 %", "50 %", "75 %", "search s", "process s", "peak MB")
    return f"## Search\n\n    python bench/experiments/solver.py\n\n{text}\n\n{table(header, rows)}"


def _gaps(search: dict) -> tuple[str, str, str]:
    """By rising budget; one for all in joint order."""
    if search["joint"] is not None:
        return (f"{search['joint']['gap']:.4%}", "together", "")
    small, middle, large = sorted(search["budgets"], key=lambda budget: budget["budget"])
    return (f"{small['gap']:.4%}", f"{middle['gap']:.4%}", f"{large['gap']:.4%}")


def _objectives(record: dict) -> str:
    rows = [
        (product["name"], f"{product['accuracy']:.1%}", _widths(product), f"{plain['accuracy']:.1%}", _widths(plain))
        for product, plain in zip(record["product"], record["sum"], strict=True)
    ]
    command = "python bench/experiments/objective.py runs/demo/baseline.keras spoken_commands"
    text = paragraph(
        "The product of the shares of importance that the channel groups keep, against REDS' sum of importance;",
        f"the same network, budgets, data and {record['epochs']} epochs.",
        "A sum starves layers whose importance is a small part of the whole.",
        link("objective.json"),
    )
    header = ("subnetwork", "product", "widths", "sum", "widths")
    return (
        "## What the search maximises\n\n"
        f"    {command} bench/experiments/objective.json\n\n{text}\n\n{table(header, rows)}"
    )


def _widths(row: dict) -> str:
    return "-".join(str(width) for width in row["widths"])


def _fashion_mnist(record: dict) -> str:
    shares = {share: nominal for nominal, share in record["nominal_shares"].items()}
    full = record["subnetworks"][0]["macs"]

    def paper(row: dict) -> str:
        name = row["name"] if row["name"] in record["paper"] else shares[float(row["name"].rstrip("%")) / 100]
        return f"{record['paper'][name]:.1%}" + ("" if row["name"] == name else f", nominal {name}")

    rows = [
        (
            row["name"],
            f"{row['macs']:,}",
            f"{row['macs'] / full:.1%}",
            f"{row['accuracy']:.2%}",
            f"{row['float32_accuracy']:.2%}",
            paper(row),
        )
        for row in record["subnetworks"]
    ]
    text = paragraph(
        f"DS-CNN S, {record['epochs']} epochs of the network and {record['finetune_epochs']} of all",
        "seven subnetworks together, one seed; accuracies of the int8 and the float32 file, by libreds, on the 10,000",
        "test images. The paper trains for 250 epochs. Its budgets are nominal and truly smaller, so each of its rows",
        "stands beside a subnetwork of the same true share and one of the true budget; 17.7, 41 and 63 % are what",
        "its nominal 25, 50 and 75 % come to in the keyword spotting network, whose widths are published.",
        link("fashion_mnist.json"),
    )
    header = ("subnetwork", "MACs", "of full", "int8", "float32", "paper (float32)")
    command = "python bench/experiments/fashion_mnist.py DATA"
    return f"## Fashion-MNIST\n\n    {command}\n\n{text}\n\n{table(header, rows)}"


def _changes(record: dict) -> str:
    narrower = list(dict.fromkeys(change["subnetwork"] for change in record["changes"]))
    by_key = {(change["operations"], change["subnetwork"]): change for change in record["changes"]}
    costs = [operation["instructions"] for operation in record["operations"]]
    alone = {row["name"]: f"{row['accuracy']:.1%}" for row in record["subnetworks"]}
    full = record["subnetworks"][0]["name"]
    rows = [("nothing", "0%", *(cell for name in narrower for cell in (alone[name], "")))]
    for done in range(1, len(costs)):
        changes = [by_key[done, name] for name in narrower]
        cells = ((f"{change['accuracy']:.1%}", f"{change['instructions']:,}") for change in changes)
        name = record["operations"][done - 1]["name"]
        rows.append((name, f"{sum(costs[:done]) / sum(costs):.0%}", *(cell for pair in cells for cell in pair)))
    rows.append((record["operations"][-1]["name"], "100%", *(cell for _ in narrower for cell in (alone[full], ""))))
    text = paragraph(
        "DS-CNN S on real speech clips, the run of the baselines below with the first seed: every inference begins in",
        "the full network and goes on in a narrower subnetwork after an operation (`reds_continue_in`). Accuracy on",
        f"{record['samples']} test clips, and the instructions of the change on the Cortex-M4; the second column is",
        f"what was done by then of the {sum(costs):,} instructions of the full network.",
        link("change_in_flight.json"),
    )
    header = ("behind", "done", *(cell for name in narrower for cell in (f"{name}: accuracy", "instructions")))
    command = f"python bench/experiments/change_in_flight.py RUN/model.tflite {record['data']}"
    return f"## Changing in flight\n\n    {command}\n\n{text}\n\n{table(header, rows)}"


def _asked_in_turn(record: dict) -> str:
    tables = [_asked_of_kind(record, kind) for kind in record["asked"]]
    network, data = record["network"], record["data"]
    text = paragraph(
        f"{network}, the files of the comparison of width and depth below, of every seed that was made.",
        "Which subnetworks are asked in turn, and how sure each must be, is chosen on",
        f"{record['validation_samples']:,} validation samples for the allowed loss (`reds thresholds`); all else is of",
        f"the {record['samples']:,} test samples. One that is asked goes on behind the exit of the one before where",
        "that has its features, else from the input. Instructions on the Cortex-M4, all that was asked before",
        "included.",
        "Two rivals, each a single subnetwork of any file of the seed: one *chosen alike*, the cheapest that on the",
        "validation samples loses no more than allowed, with the same certainty; and, *with hindsight*, the cheapest",
        "that on the test samples is as accurate as what is compared, or the most accurate one. Means and deviations",
        "over the seeds; shares are those of the first one. Where the smallest subnetwork alone loses no more than",
        "allowed, there is nothing to save.",
        link(f"early_exit_{data}.json"),
    )
    command = (
        f"REDS_DATA=DATA python bench/experiments/early_exit.py bench/experiments/early_exit_{data}.json {data} \\\n"
        f"        runs/depth/{record['run']} --asked {','.join(record['asked'])} --rivals {','.join(record['rivals'])}"
    )
    return "\n\n".join([f"## Asking in turn: {data}", f"    {command}", text, *tables])


def _asked_of_kind(record: dict, kind: str) -> str:
    rows = [row for row in record["rows"] if row["kind"] == kind]
    losses = list(dict.fromkeys(row["loss"] for row in rows))
    by_loss = [[row for row in rows if row["loss"] == loss] for loss in losses]
    chosen, rival = ([mean(_saved(row, one) for row in of_loss) for of_loss in by_loss] for one in ("chosen", "rival"))
    seeds = len({row["seed"] for row in rows})
    text = paragraph(
        f"*{FAMILIES[kind.rpartition('-')[0]].capitalize()}*, {seeds} {'seed' if seeds == 1 else 'seeds'}:",
        f"{min(chosen):.0%} to {max(chosen):.0%} fewer instructions than the single subnetwork chosen alike,",
        f"{min(rival):.0%} to {max(rival):.0%} fewer than the one chosen with hindsight. The largest subnetwork alone",
        f"answers {mean(row['alone_accuracy'] for row in by_loss[0]):.1%} right with",
        f"{mean(row['alone_cost'] for row in by_loss[0]):,.0f} instructions.",
    )
    header = (
        "allowed loss",
        "stop at each",
        "accuracy",
        "mean instructions",
        "at worst",
        "arena",
        "chosen alike: accuracy",
        "saved",
        "with hindsight: accuracy",
        "saved",
    )
    return f"{text}\n\n{table(header, [_asked_at_loss(of_loss) for of_loss in by_loss])}"


def _saved(row: dict, rival: str) -> float:
    return 1 - row["mean_cost"] / row[rival]["instructions"]


def _asked_at_loss(rows: Sequence[dict]) -> tuple[str, ...]:
    first = rows[0]
    shares = ", ".join(
        f"{name.removeprefix('exit_')} {stop['share']:.0%}"
        for name, stop in zip(first["names"], first["stops"], strict=True)
    )
    against = [
        cell
        for rival in ("chosen", "rival")
        for cell in (
            _spread([100 * row[rival]["accuracy"] for row in rows], ".1f"),
            f"{_spread([100 * _saved(row, rival) for row in rows], '.0f')} %",
        )
    ]
    return (
        f"{first['loss']:.1%}",
        shares,
        _spread([100 * row["accuracy"] for row in rows], ".1f"),
        f"{mean(row['mean_cost'] for row in rows):,.0f}",
        f"{max(row['worst_cost'] for row in rows):,}",
        f"{max(row['arena_bytes'] for row in rows):,}",
        *against,
    )


def _spread(values: Sequence[float], form: str) -> str:
    """The mean, and the deviation of several."""
    return f"{mean(values):{form}}" + (f" ± {stdev(values):{form}}" if len(values) > 1 else "")


FAMILIES = {
    "width": "width",
    "depth": "depth",
    "joint": "both",
    "depth_compact": "depth, compact heads",
    "depth_dense": "depth, dense heads",
    "depth_unfrozen": "depth, network trained too",
    "depth_compact_unfrozen": "depth, compact heads, network trained too",
    "joint_compact": "both, compact heads",
    "width_labels": "width, without distillation",
    "depth_unfrozen_labels": "depth, network trained too, without distillation",
    "joint_labels": "both, without distillation",
}
"""What the kinds of `depth.py` are called."""

COSTS = {"macs": "MACs", "instructions": "instructions", "arena_bytes": "arena"}


def _width_and_depth(record: dict) -> str:
    settings = record["settings"]
    data, architecture = settings["data"], record["results"][0]["architecture"]
    name = f"depth_{data}.json"
    kinds = [kind for kind in FAMILIES if any(row["kind"] == kind for row in record["summary"])]
    summary = sorted(record["summary"], key=lambda row: (kinds.index(row["kind"]), row["macs"]))
    rows = [
        (
            FAMILIES[row["kind"]],
            row["subnetwork"],
            " ".join(exit_.removeprefix("exit_") for exit_ in row["exits"]),
            f"{row['macs']:,}",
            f"{row['instructions']:,}",
            f"{row['arena_bytes']:,}",
            _mean_and_deviation(row),
        )
        for row in summary
    ]
    seeds = len({result["seed"] for result in record["results"]})
    text = paragraph(
        f"{architecture} on {data}: {settings['training_epochs']} epochs of the network,",
        f"{settings['finetuning_epochs']} of its subnetworks, {settings['exit_epochs']} of exits behind the frozen",
        "network. *Width*: widths for each budget. *Depth*: an exit behind every block. *Both*: of all exits and",
        f"widths within a budget those with the best validation accuracy. Means over {seeds} seeds of the costs on the",
        "Cortex-M4 and of the test accuracy of int8 by libreds, in percent with its deviation.",
        link(name),
    )
    header = ("kind", "subnetwork", "exits", "MACs", "instructions", "arena", "accuracy")
    epochs = (
        f"--training-epochs {settings['training_epochs']} --finetuning-epochs {settings['finetuning_epochs']} "
        f"--exit-epochs {settings['exit_epochs']}"
    )
    command = (
        f"REDS_DATA=DATA python bench/experiments/depth.py bench/experiments/{name} --data {data} \\\n        "
        f"--architectures {architecture} --kinds {','.join(kinds)} \\\n        "
        f"--budgets {settings['budgets']} {epochs}"
    )
    title = f"## Width, depth and both: {data}"
    return f"{title}\n\n    {command}\n\n{text}\n\n{table(header, rows)}\n\n{_leads(record['results'])}"


def _leads(results: Sequence[dict]) -> str:
    rows, behind = [], 0
    for metric, named in COSTS.items():
        for other in ("width", "depth"):
            found = leads(results, "joint", other, metric)
            behind += sum(not one.holds for one in found)
            rows += [
                (
                    named,
                    f"{other} {one.name.removeprefix('exit_')}",
                    f"{one.cost:,.0f}",
                    f"{100 * one.accuracy:.1f}",
                    f"{one.difference:+.1f}" + ("" if one.deviation is None else f" ± {one.deviation:.1f}"),
                )
                for one in found
            ]
    text = paragraph(
        "*Both* against each of the others: how many points more accurate its best subnetwork is that costs no more,",
        "for each subnetwork on the other's front; means and deviations over the seeds.",
        f"Of {len(rows)} it is behind by more than the deviation at {behind}.",
    )
    return f"{text}\n\n{table(('cost', 'against', 'its cost', 'its accuracy', 'both, points'), rows)}"


SKIPPING = {
    "width": "*Width*: widths for each budget of multiply-accumulates.",
    "blocks": "*Blocks*: all channels, and one block less each time, from the last to the first.",
    "both": "*Both*: of all widths and numbers of blocks within a budget those with the best validation accuracy.",
    "chosen": "*Chosen*: the subnetworks of *both*, trained again without the rest, so as often as those of *width*.",
}
"""The kinds of `skipping.py`, and what they are."""


def _skipping(record: dict) -> str:
    settings = record["settings"]
    kinds = [kind for kind in SKIPPING if any(result["kind"] == kind for result in record["results"])]
    seeds = len({result["seed"] for result in record["results"]})
    summary = sorted(record["summary"], key=lambda row: (kinds.index(row["kind"]), row["macs"]))
    full = max(row["macs"] for row in summary)
    rows = [
        (
            row["kind"],
            row["subnetwork"].partition("-")[0],
            " or ".join(str(count) for count in row["skipped"]),
            f"{row['macs']:,}",
            f"{row['macs'] / full:.0%}",
            f"{row['instructions']:,}",
            f"{row['arena_bytes']:,}",
            _mean_and_deviation(row, seeds),
        )
        for row in summary
    ]
    text = paragraph(
        "A residual network with three blocks in each of three stages of 8, 16 and 32 channels, as ResNet-20 has with",
        f"twice as many, for grey images. Trained on {settings['training_samples']:,} of the 55,000 training images of",
        f"Fashion-MNIST, {settings['training_epochs']} epochs of the network, {settings['finetuning_epochs']} of its",
        "subnetworks, whatever the kind. Test accuracy of int8 by libreds on all 10,000 test images, in percent;",
        f"{'one seed' if seeds == 1 else f'means over {seeds} seeds, or over as many as are in brackets'}.",
        "With so many images one result has a sampling error of 0.3 points.",
        *(SKIPPING[kind] for kind in kinds),
        *([_chosen_among_all(record["results"])] if "both" in kinds else []),
        link("skipping.json"),
    )
    header = ("kind", "subnetwork", "blocks skipped", "MACs", "of full", "instructions", "arena", "accuracy")
    command = (
        "REDS_DATA=DATA python bench/experiments/skipping.py bench/experiments/skipping.json \\\n        "
        f"--kinds {','.join(kinds)} --seeds {','.join(str(seed) for seed in range(seeds))} "
        f"--training-samples {settings['training_samples']} \\\n        "
        f"--training-epochs {settings['training_epochs']} --finetuning-epochs {settings['finetuning_epochs']}"
    )
    title = "## Width and skipped blocks: fashion_mnist"
    leading = _skipping_leads(record["results"], kinds)
    return f"{title}\n\n    {command}\n\n{text}\n\n{table(header, rows)}\n\n{leading}"


def _chosen_among_all(results: Sequence[dict]) -> str:
    """What skipping gains where all candidates are trained together."""
    gains: dict[str, list[float]] = {}
    for result in (one for one in results if one["kind"] == "both"):
        by_name = {row["name"]: row["accuracy"] for row in result["subnetworks"]}
        for row in (one for one in result["subnetworks"] if one["kept"] and one["skips"]):
            budget = row["name"].partition("-")[0]
            gains.setdefault(budget, []).append(100 * (row["accuracy"] - by_name[budget]))
    named = ", ".join(f"{mean(points):+.1f} points at {budget}" for budget, points in gains.items())
    return (
        "*Both* trains all candidates together, and so each of them less often. Against the candidate of the same "
        f"budget that has all blocks, trained alike, those chosen without some differ by {named}."
    )


def _skipping_leads(results: Sequence[dict], kinds: Sequence[str]) -> str:
    compared = [
        {**result, "subnetworks": [row for row in result["subnetworks"] if row.get("kept", True)]} for result in results
    ]
    rows = [
        (
            COSTS[metric],
            kind,
            one.name,
            f"{one.cost:,.0f}",
            f"{100 * one.accuracy:.1f}",
            f"{one.difference:+.1f}" + ("" if one.deviation is None else f" ± {one.deviation:.1f}"),
        )
        for metric in ("macs", "instructions")
        for kind in kinds
        if kind != "width"
        for one in leads(compared, kind, "width", metric)
    ]
    text = paragraph(
        "How many points more accurate the best subnetwork of a kind is than one of *width*, at no more of a cost. A",
        "narrower map has as many positions, and kernels have work at each whatever its channels, so that instructions",
        "fall by less than multiply-accumulates; without a block all of it is saved.",
    )
    return f"{text}\n\n{table(('cost', 'kind', 'against', 'its cost', 'its accuracy', 'points'), rows)}"


BASELINES = {
    "reds": "REDS",
    "alone": "alone",
    "uniform": "uniform",
    "magnitude": "magnitude",
    "random": "random",
    "from_scratch": "from scratch",
}
"""Kinds of results in the comparison, and their headings."""


def _baselines(record: dict) -> str:
    by_key = {(row["architecture"], row["budget"], row["kind"]): row for row in record["summary"]}
    rising = sorted(record["summary"], key=lambda row: (row["architecture"], row["macs"]))
    kinds = [kind for kind in BASELINES if any(key[2] == kind for key in by_key)]
    settings = record["settings"]
    rows = [
        (architecture, budget, *(_mean_and_deviation(by_key.get((architecture, budget, kind))) for kind in kinds))
        for architecture, budget in dict.fromkeys((row["architecture"], row["budget"]) for row in rising)
    ]
    text = paragraph(
        f"Real speech clips; {settings['training_epochs']} epochs of the network, {settings['finetuning_epochs']} of",
        "its subnetworks; test accuracy of int8 by libreds in percent, mean and deviation over the seeds.",
        "*Alone*: each subnetwork of REDS trained as a network of its own, from random weights, for all these epochs.",
        "*Uniform*: the same fraction of channels everywhere (slimmable). *Magnitude*, *random*: another order",
        "of channels. In brackets the number of seeds where it is not three. With 399 test clips one result has a",
        "sampling error of 1.7 points.",
        link("baselines.json"),
    )
    header = ("network", "budget", *(BASELINES[kind] for kind in kinds))
    names = ",".join(dict.fromkeys(row["architecture"] for row in record["summary"]))
    command = (
        "REDS_DATA=DATA python bench/experiments/baselines.py bench/experiments/baselines.json \\\n        "
        f"--architectures {names} --kinds {','.join(kinds)} \\\n        "
        f"--training-epochs {settings['training_epochs']} --finetuning-epochs {settings['finetuning_epochs']}"
    )
    differences = _differences(record["results"], kinds)
    return f"## Baselines\n\n    {command}\n\n{text}\n\n{differences}\n\n{table(header, rows)}"


def _differences(results: Sequence[dict], kinds: Sequence[str]) -> str:
    """How far REDS is from each baseline: means over the seeds that both have, of all networks and budgets."""
    accuracies = {
        (result["kind"], result["architecture"], row["name"], result["seed"]): row["accuracy"]
        for result in results
        for row in result["subnetworks"]
    }
    rows = []
    for kind in kinds[1:]:
        by_budget: dict[tuple[str, str], list[float]] = {}
        for (made, architecture, budget, seed), accuracy in accuracies.items():
            if made == kind:
                difference = 100 * (accuracies["reds", architecture, budget, seed] - accuracy)
                by_budget.setdefault((architecture, budget), []).append(difference)
        means = {key: mean(values) for key, values in by_budget.items()}
        rows.append(
            (
                BASELINES[kind],
                f"{mean(means.values()):+.1f}",
                f"{mean(value for (_, budget), value in means.items() if budget == '25%'):+.1f}",
                f"{sum(value >= 0 for value in means.values())} of {len(means)}",
            )
        )
    header = ("REDS less", "mean of all budgets, points", "at 25 %, points", "rows where REDS is at or above")
    return table(header, rows)


def _mean_and_deviation(row: dict | None, seeds: int = 3) -> str:
    if row is None:
        return ""
    deviation = "" if row["deviation"] is None else f" ± {100 * row['deviation']:.1f}"
    return f"{100 * row['accuracy']:.1f}{deviation}" + (f" ({row['seeds']})" if row["seeds"] != seeds else "")


FOUND = {
    "paths": "without data",
    "l1": "without data, L1",
    "noise": "with noise",
    "samples": "with samples",
    "trained": "trained",
}
"""Ways to subnetworks, and their headings."""


def _without_training(record: dict) -> str:
    by_key: dict[tuple[str, str], dict[str, list[float]]] = {}
    for network in record["networks"]:
        for way, rows in {**network["found"], "trained": network["trained"]}.items():
            for row in rows:
                cell = by_key.setdefault((network["architecture"], row["name"]), {})
                cell.setdefault(way, []).append(row["accuracy"])
    rows = [
        (architecture, budget, str(len(cell["paths"])), *(_percent(cell.get(way, [])) for way in FOUND))
        for (architecture, budget), cell in by_key.items()
    ]
    text = paragraph(
        "What `reds adopt --prune` leaves of the accuracy of int8 models by the TFLite converter, in percent on the",
        "test clips, by libreds, means over the seeds; widths are multiples of 4. *Without data*: channels by the",
        "product of the weights that make and read them; *L1*: by the sum of those that make them.",
        f"*With samples*: `--samples`, {record['samples']} clips without labels, whose means go into the biases.",
        "*With noise*: the same means from random bytes instead of clips, which would need no data, but does harm.",
        "*Trained*: the subnetworks of `reds prune` on the same network, which needs the data, the labels and minutes.",
        "With 399 test clips one result has a sampling error of 2.5 points; a guess is right in 8 %.",
        link("without_data.json"),
    )
    runs = " ".join(f"runs/baselines/{network['run']}" for network in record["networks"])
    command = textwrap.fill(
        f"REDS_DATA=DATA python bench/experiments/without_data.py bench/experiments/without_data.json {runs}",
        PAGE_WIDTH,
        initial_indent="    ",
        subsequent_indent="        ",
        break_on_hyphens=False,
    ).replace("\n", " \\\n")
    header = ("network", "budget", "seeds", *FOUND.values())
    return f"## Subnetworks without training\n\n{command}\n\n{text}\n\n{table(header, rows)}"


def _percent(accuracies: Sequence[float]) -> str:
    return f"{100 * mean(accuracies):.1f}" if accuracies else ""


def _bit_exact(record: dict) -> str:
    operations = record["operations"]
    rows = [
        (name, f"{tally['cases']:,}", f"{tally['prefixes']:,}", str(tally["differences"]))
        for name, tally in operations.items()
    ]
    refused = sum(tally["refused"] for tally in operations.values())
    text = paragraph(
        "Random sizes, weights and quantisations; each prefix of the channels that an operation reads and of those",
        "that it makes occurs in its case. The bytes that the operation writes in libreds on this machine are compared",
        "with those of a plain model in the real TFLite Micro,",
        f"for {record['samples']} random inputs.",
        f"{refused} further cases were refused when they were written. PADV2 is read as PAD.",
        "Operations that need all channels have only these, and so do PACK, REDUCE_MAX, SPLIT, SPLIT_V and UNPACK:",
        "`reds adopt` reads them as other operations, so their cases are models that are adopted.",
        "The program goes on with the record until every operation has 10,000 cases.",
        link("bit_exact.json"),
    )
    header = ("operation", "cases", "prefixes", "prefixes that differ")
    command = "python bench/experiments/bit_exact.py"
    return f"## Every int8 operation\n\n    {command}\n\n{text}\n\n{table(header, rows)}"


def _training_steps(records: Sequence[dict]) -> str:
    rows = [
        (
            record["backend"],
            f"{record['full network, ms']:.1f}",
            f"{record['four subnetworks, ms']:.1f}",
            f"{record['ratio']:.2f}",
            f"{record['ratio of multiply-accumulates']:.2f}",
        )
        for record in records
    ]
    text = paragraph(
        "One step of Adam on 100 clips, DS-CNN S: four networks of 25, 50, 75 and 100 % against the full one alone.",
        "Processor time on one thread, median of interleaved repetitions.",
        link(TRAINING_STEPS[0]),
        link(TRAINING_STEPS[1]),
    )
    header = ("backend", "full network, ms", "four subnetworks, ms", "ratio", "ratio of MACs")
    command = (
        "python bench/experiments/training_step.py\n    KERAS_BACKEND=jax python bench/experiments/training_step.py"
    )
    return f"## Cost of a training step\n\n    {command}\n\n{text}\n\n{table(header, rows)}"


def _cost_table(record: dict) -> str:
    rows = [
        (
            row["architecture"],
            f"{row['instructions']:,}",
            f"{row['estimate']:,}",
            f"{row['mean_error']:.1%}",
            f"{row['largest_error']:.1%}",
        )
        for row in record["networks"]
    ]
    text = paragraph(
        "What the cost table of the Cortex-M4, which budgets in instructions are searched with, says of whole networks",
        "that it was not fitted to: at full width, and the errors over random widths as well.",
        link("cost_table.json"),
    )
    header = ("network", "counted", "estimated", "mean error", "largest error")
    return f"## Cost table\n\n    python bench/experiments/cost_table.py\n\n{text}\n\n{table(header, rows)}"


def _networks(record: dict) -> str:
    rows = record["networks"]
    whole = [row for row in rows if row["quarters"] == 4]
    text = paragraph(
        "Weights are random. TensorFlow Lite Micro (TFLM), with its reference kernels and with CMSIS-NN, was measured",
        "on the same emulated core with the same compiler (`rivals.py` says how). Code is what firmware links of",
        "libreds for the network; TFLM's is a whole firmware, with some 8 kB of C library and harness.",
        link("networks.json"),
    )
    return "\n\n".join(
        [
            f"## Networks\n\n    python bench/experiments/networks.py\n\n{text}",
            _beside_rivals(whole),
            _goals(whole),
            "DS-CNN S with fewer channels, all in one file, beside a model of its own for each width:",
            _widths_beside_rivals([row for row in rows if (row["architecture"], row["type"]) == ("ds_cnn_s", "int8")]),
            paragraph(
                "All cores, instructions and instructions per multiply-accumulate; float32 where there is a unit.",
                "A Helium instruction of the Cortex-M55 works on 16 bytes and takes two cycles or more:",
            ),
            _networks_by_core(whole),
        ]
    )


def _overhead(record: dict) -> str:
    text = paragraph(
        "Instructions of an inference on the Cortex-M4 by whose they are: of kernels, which would run them as well if",
        "they are called directly, and of all else, which walks the run list and makes arguments from the plan. The",
        "firmware links all operations, and an operation in float32 stands late in their list; one that lists its own",
        "finds them at once.",
        link("overhead.json"),
    )
    rows = [
        (
            _network_name(row),
            f"{row['quarters']}/4",
            f"{row['kernels']:,}",
            f"{row['others']:,}",
            f"{row['others'] / row['kernels']:.2%}",
        )
        for row in record["networks"]
    ]
    header = ("", "channels", "kernels", "plan", "of the kernels")
    return f"## Price of the plan\n\n    python bench/experiments/overhead.py\n\n{text}\n\n{table(header, rows)}"


def _network_name(row: dict) -> str:
    return f"{row['architecture']} {row['type']}"


def _key(row: dict) -> tuple[str, str]:
    return row["architecture"], row["type"]


def _beside_rivals(rows: Sequence[dict]) -> str:
    header = (
        "Cortex-M4",
        "MACs",
        "instructions",
        "per MAC",
        "TFLM",
        "TFLM with CMSIS-NN",
        "arena B",
        "TFLM's",
        "code B",
        "TFLM's",
        "model B",
    )
    cells = []
    for row in rows:
        rival, count = RIVALS[_key(row)], row["instructions"][CORE]
        with_cmsis_nn = "" if rival.cmsis_nn is None else f"{rival.cmsis_nn:,} ({rival.cmsis_nn / count:.1f} times)"
        cells.append(
            (
                _network_name(row),
                f"{row['macs']:,}",
                f"{count:,}",
                f"{count / row['macs']:.2f}",
                f"{rival.reference:,} ({rival.reference / count:.1f} times)",
                with_cmsis_nn,
                f"{row['arena_bytes']:,}",
                f"{rival.arena_bytes:,}",
                f"{row['code_bytes']:,}",
                f"{rival.flash_bytes:,}",
                f"{row['model_bytes']:,}",
            )
        )
    return table(header, cells)


def _goals(rows: Sequence[dict]) -> str:
    """Which goals are met."""
    counts = {_network_name(row): (row["instructions"][CORE], GOALS[_key(row)]) for row in rows if _key(row) in GOALS}
    missed = [f"{name} by {count / aim.goal - 1:.1%}" for name, (count, aim) in counts.items() if count > aim.goal]
    beyond = [
        f"{name} ({aim.stretch / 1e6:g} M) by {count / aim.stretch - 1:.1%}"
        for name, (count, aim) in counts.items()
        if count > aim.stretch
    ]
    goals = ", ".join(f"{name} {aim.goal / 1e6:g} M" for name, (_, aim) in counts.items())
    return paragraph(
        f"Goals on the Cortex-M4: {goals}. Missed: {', '.join(missed) if missed else 'none'}. Of the further ones,",
        f"missed: {', '.join(beyond) if beyond else 'none'}. What holds the fully connected networks back is that each",
        "weight is used once: every four of them take a load and two instructions to widen them, beside the two that",
        "multiply. MobileNet's depthwise layers of stride 2 had an unrolled loop that was 4 to 15 % faster, and was",
        "given up for smaller code.",
    )


def _widths_beside_rivals(rows: Sequence[dict]) -> str:
    full = rows[0]["instructions"][CORE]
    cells = [
        (
            f"{row['quarters']}/4",
            f"{row['macs']:,}",
            f"{row['instructions'][CORE]:,}",
            f"{row['instructions'][CORE] / full:.1%}",
            f"{row['instructions'][CORE] / row['macs']:.2f}",
            f"{WIDTHS[row['quarters']]:,}",
            f"{row['instructions'][CORE] / WIDTHS[row['quarters']]:.1%}",
            f"{row['arena_bytes']:,}",
        )
        for row in rows
    ]
    header = ("channels", "MACs", "instructions", "of all", "per MAC", "TFLM with CMSIS-NN", "of TFLM's", "arena B")
    return table(header, cells)


def _networks_by_core(rows: Sequence[dict]) -> str:
    boards = list(rows[0]["instructions"])
    header = ("", *(board.removeprefix("qemu:") for board in boards))
    cells = [
        (
            _network_name(row),
            *(
                f"{count:,} ({count / row['macs']:.2f})" if (count := row["instructions"].get(board)) else ""
                for board in boards
            ),
        )
        for row in rows
    ]
    return table(header, cells)


def _kernels(record: dict) -> str:
    command = "python bench/experiments/kernel_instructions.py runs/demo/model.tflite --board BOARD --subnetwork 0"
    text = paragraph(
        "The full network of the demo, operation by operation; requantisation is included.", link("kernels.json")
    )
    parts = [f"## Kernels\n\n    {command} --record bench/experiments/kernels.json\n\n{text}"]
    for board, operations in record.items():
        rows = [
            (
                row["operation"],
                f"{row['macs']:,}",
                f"{row['instructions']:,}",
                f"{row['instructions'] / row['macs']:.2f}" if row["macs"] else "",
            )
            for row in operations
        ]
        parts.append(f"{board}:\n\n{table(('operation', 'MACs', 'instructions', 'per MAC'), rows)}")
    return "\n\n".join(parts)


CACHE_ORDERS = {
    "libreds": "libreds",
    "packed": "libreds, weights packed",
    "four_rows": "four rows at a time",
    "sample_outer": "straight",
    "input_outer": "inputs outermost",
}
"""Orders of the fully connected loops, and what the table calls them."""


def _cache(record: dict) -> str:
    rows = [
        (
            order["type"],
            str(order["samples"]),
            CACHE_ORDERS[order["order"]],
            f"{order['read_hit_rate']:.1%}",
            f"{order['access_hit_rate']:.1%}",
            f"{order['misses_per_line']:.2f}",
        )
        for order in sorted(record["means"], key=_place)
    ]
    text = paragraph(
        "The fully connected kernel under cachegrind: 16 KiB, two ways, lines of 32 bytes, cold at first; means over",
        "the subnetworks of DNN S and DNN L. Hits among all data reads, and among these and the instruction fetches",
        "together, as the RP2040 counts. No order can miss less than once per line that holds an active weight;",
        "with one float32 sample eight weights share a line, so at most 87.5 % of the weight reads can hit.",
        link("cache.json"),
    )
    header = ("type", "samples", "order", "data reads that hit", "all accesses that hit", "misses per line of weights")
    return f"## Cache\n\n    python bench/experiments/cache.py\n\n{text}\n\n{table(header, rows)}"


def _place(order: dict) -> tuple[str, int, int]:
    return order["type"], order["samples"], list(CACHE_ORDERS).index(order["order"])


def _pico(record: dict) -> str:
    parts = []
    rows = record["rows"]
    for whole, cut in zip(rows[::2], rows[1::2], strict=True):
        parts += [_pico_row(whole), _pico_row(cut), _pico_ratios(whole, cut)]
    text = paragraph(
        "The networks and the head of De Leon and Atienza (2022), whole and left at the cut that they recommend, two",
        "subnetworks of one int8 file. The published milliseconds are those of TensorFlow Lite Micro on a board; ours",
        f"are cycles that the emulator `rp2040js` counts, at {record['megahertz']} MHz. It models no flash cache: code",
        "lies in SRAM anyway, but weights are as fast as if they did too. *With flash* adds a model of that cache, and",
        "for each line that it lacks the most that our boot block's one-bit reads can take (docs/protocol.md, Boards).",
        "Neither was measured on a board. File is the subnetwork alone, as `reds extract` writes it; flash is what it",
        "reads of the common file. Kilobytes are thousands of bytes.",
        link("pico.json"),
    )
    header = (
        "network",
        "subnetwork",
        "MACs",
        "ms",
        "ms with flash",
        "published ms",
        "file kB",
        "published kB",
        "flash kB",
        "arena B",
    )
    command = "python bench/experiments/pico.py"
    return f"## Raspberry Pi Pico\n\n    {command}\n\n{text}\n\n{table(header, parts)}"


def _pico_row(row: dict) -> tuple[str, ...]:
    fast, slow = row["milliseconds"].values()
    published = row["published"]
    return (
        row["network"],
        row["subnetwork"],
        f"{row['macs']:,}",
        f"{fast:.0f}",
        f"{slow:.0f}",
        f"{published['milliseconds']:.0f}",
        f"{row['file_bytes'] / 1000:.1f}",
        f"{published['kilobytes']:g}",
        f"{row['flash_bytes'] / 1000:.1f}",
        f"{row['arena_bytes']:,}",
    )


def _pico_ratios(whole: dict, cut: dict) -> tuple[str, ...]:
    """How many times faster and smaller the cut is."""
    fast, slow = (whole["milliseconds"][board] / cut["milliseconds"][board] for board in whole["milliseconds"])
    milliseconds, kilobytes = (whole["published"][key] / cut["published"][key] for key in ("milliseconds", "kilobytes"))
    macs, file_bytes, flash_bytes, arena_bytes = (
        whole[key] / cut[key] for key in ("macs", "file_bytes", "flash_bytes", "arena_bytes")
    )
    ratios = (macs, fast, slow, milliseconds, file_bytes, kilobytes, flash_bytes, arena_bytes)
    return ("", "whole / cut", *(f"{ratio:.2f}" for ratio in ratios))


CUT_HEADS = ("auxiliary", "dense")


def _cuts(record: dict) -> str:
    rows = record["rows"]
    alike = sum(all(row[count] == row["published"][count] for count in ("parameters", "macs")) for row in rows)
    smaller = sum(row["file_bytes"] <= 1000 * row["published"]["kilobytes"] for row in rows)
    plain = sum(row["extracted_bytes"] <= 1000 * row["published"]["kilobytes"] for row in rows)
    text = paragraph(
        "The networks of De Leon and Atienza (2022), whole and cut behind the first convolution and behind every",
        "block, with both of their heads. Parameters as Keras counts them, and multiply-accumulates, are those of the",
        f"networks that they train; {alike} of {len(rows)} rows are exactly what is published. The int8 files are",
        "those of the networks that they run on a Raspberry Pi Pico: MobileNetV1 for grey images, DS-CNN S for a",
        "vector of log mel energies. *File* is the cut alone with its plan (`reds emit --only`), *plain* the TFLite",
        "model without one (`reds extract`), in thousands of bytes; *published* was read off a figure, to about 1 kB.",
        f"{smaller} files and {plain} plain models are at or below it. A plan takes 9 bytes for each output channel",
        "and about 0.8 kB, and the published files have none: that is what the smallest cuts with a dense head are",
        "above. It cannot be saved: of the smallest cut's plan, 1.3 kB are the constants, layers, steps and tensors",
        "that a device reads, and its plain model is 1.0 kB below; names are what other tools tell tensors apart by.",
        "Nothing is trained.",
        link("cuts.json"),
    )
    header = ("cut", *(cell for head in CUT_HEADS for cell in _cut_columns(head)))
    parts = ["## Every cut\n\n    python bench/experiments/cuts.py", text]
    for network in dict.fromkeys(row["network"] for row in rows):
        by_key = {(row["cut"], row["head"]): row for row in rows if row["network"] == network}
        lines = [
            (
                cut.removesuffix("_pointwise"),
                *(cell for head in CUT_HEADS for cell in _cut_cells(by_key.get((cut, head)) or by_key[cut, ""])),
            )
            for cut in dict.fromkeys(cut for cut, _ in by_key)
        ]
        parts.append(f"{network}:\n\n{table(header, lines)}")
    return "\n\n".join(parts)


def _cut_columns(head: str) -> tuple[str, ...]:
    return f"{head}: parameters", "MACs", "file kB", "plain kB", "published kB"


def _cut_cells(row: dict) -> tuple[str, ...]:
    kilobytes = (f"{row[size] / 1000:.1f}" for size in ("file_bytes", "extracted_bytes"))
    return f"{row['parameters']:,}", f"{row['macs']:,}", *kilobytes, f"{row['published']['kilobytes']:g}"


TRAINING_STEPS = ("training_step_tensorflow.json", "training_step_jax.json")

VERIFY = "reds verify MODEL --samples 200 --board qemu:cortex-m4 --board qemu:cortex-m0plus --json"

REAL_DATA = ("speech_commands", "fashion_mnist")

SECTIONS = (
    Section(
        "demo_generated.json",
        _demo(
            "The demo on generated speech",
            "./bootstrap demo",
            "demo_generated.json",
            "2,352 clips to train with, 672 to test; spoken by `espeak-ng`; no timbre is in two splits.",
        ),
    ),
    Section(
        "demo_real.json",
        _demo(
            "The demo on real speech",
            "REDS_DATA=DATA ./bootstrap demo --out runs/demo_real",
            "demo_real.json",
            "A small speaker-disjoint split of real Speech Commands clips: 3,536 to train with, 399 to test. Most of "
            "the wanted words are from the official test set, so the accuracies compare with each other, never with "
            "published ones.",
        ),
    ),
    Section(
        "verify_int8.json",
        _verification("Proofs, int8", VERIFY.replace("MODEL", "runs/demo/model.tflite"), "verify_int8.json"),
    ),
    Section(
        "verify_float32.json",
        _verification(
            "Proofs, float32",
            "reds emit runs/demo -o model-float32.tflite --type float32\n    "
            "reds verify model-float32.tflite --samples 200 --board qemu:cortex-m4 --json",
            "verify_float32.json",
        ),
    ),
    Section("change_in_flight.json", _changes),
    *(Section(f"early_exit_{data}.json", _asked_in_turn) for data in REAL_DATA),
    Section("bit_exact.json", _bit_exact),
    Section("networks.json", _networks),
    Section("overhead.json", _overhead),
    Section("kernels.json", _kernels),
    Section("cuts.json", _cuts),
    Section("pico.json", _pico),
    Section("cache.json", _cache),
    Section("cost_table.json", _cost_table),
    Section("solver.json", _searches),
    Section("objective.json", _objectives),
    Section("fashion_mnist.json", _fashion_mnist),
    Section("baselines.json", _baselines),
    *(Section(f"depth_{data}.json", _width_and_depth) for data in REAL_DATA),
    Section("skipping.json", _skipping),
    Section("without_data.json", _without_training),
)

README_TABLE = re.compile(r"(?<=<!-- demo -->\n).*?(?=\n<!-- /demo -->)", re.DOTALL)


def page() -> str:
    """The page as Markdown."""
    sections = [section.write(_read(section.record)) for section in SECTIONS if (HERE / section.record).exists()]
    steps = _training_steps([_read(record) for record in TRAINING_STEPS])
    return "\n\n".join(["# Results", paragraph(INTRODUCTION), *sections, steps]) + "\n"


def readme(current: str) -> str:
    """The README with the demo's table."""
    return README_TABLE.sub(lambda _: subnetworks_table(_read("demo_generated.json")["subnetworks"]), current)


def _read(record: str) -> Any:
    return json.loads((HERE / record).read_text(encoding="utf-8"))


def main() -> None:
    """Writes both files."""
    write_atomically(ROOT / "docs" / "results.md", page().encode())
    path = ROOT / "README.md"
    write_atomically(path, readme(path.read_text(encoding="utf-8")).encode())


if __name__ == "__main__":
    main()
