"""Write the tables of these pages from the JSON of the studies in `docs/studies`.

A table stands between two comments, which name the study and what the table shows:

    <!-- table: ablations S2I -->
    <!-- /table -->

To add a study, or to replace it:

    cmcgan study DATA ablations --json > ablations.json
    python docs/tables.py ablations.json
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cmcgan_core.evaluation.labels import recovery_label
from cmcgan_core.evaluation.pooling import Figure
from cmcgan_core.evaluation.pose_scores import ALL_READABLE
from cmcgan_core.modality import Direction, Modality

DOCS = Path(__file__).parent
STUDIES = DOCS / "studies"
TABLE = re.compile(r"(<!-- table: (?P<study>[\w-]+) (?P<kind>\w+) -->\n).*?(?=<!-- /table -->)", re.DOTALL)
#: Metrics of samples that the tables show, with their format.
METRICS = {"frechet_distance": ".1f", "high_frequency": ".2f", "diversity": ".2f"}
#: The cell of a figure that does not exist.
NONE = "-"

Study = Mapping[str, Any]


def samples(study: Study, direction: Direction) -> list[list[str]]:
    """Return the rows of Table 1 in one direction: accuracies by the residual judge, and metrics of the samples."""
    modality = direction.target
    groups = [group for group in study["groups"] if direction.table_name in group["figures"]["table1"]]
    image = "Image" if modality is Modality.VISUAL else "Sound"
    recoveries = [recovery_label(hops, modality) for hops in ("1", "2")]
    names = ["residual judge", f"FR_{image}", *recoveries, "paper's classifier"]
    rows = [["", *names, "Fréchet distance", "upper frequencies", "diversity"]]
    for group in groups:
        figures, own = group["figures"], str(group["hops"])
        (second,) = figures["other_judges"].values()
        by_hops = second["table1"][direction.table_name]
        recovered = second["recovered"].get(modality, {})
        parts = [by_hops[own], by_hops.get("2"), recovered.get("1"), recovered.get("2")]
        parts.append(figures["table1"][direction.table_name][own])
        quality = figures["quality"][direction.table_name][own]
        rows.append([group["name"], *(_accuracy(part) for part in parts), *_metrics(quality)])
    figures = groups[0]["figures"]
    (second,) = figures["other_judges"].values()
    real = [_accuracy(judge["real"][modality]) for judge in (second, figures)]
    quality = figures["quality"][direction.table_name]["real"]
    rows.append(["real", real[0], "", "", "", real[1], *_metrics(quality)])
    copied = [_accuracy(judge["copied"][direction.table_name]) for judge in (second, figures)]
    rows.append(["control: copied", copied[0], "", "", "", copied[1], *[""] * len(METRICS)])
    return rows


def costs(study: Study) -> list[list[str]]:
    """Return the rows of the trainings and of Table 2."""
    rows = [["", "seeds", "steps", "of the paper's training", "CPU-seconds", "GV-A", "GA-V"]]
    shares = {run["name"]: run["share_of_schedule"] for run in study["runs"]}
    for group in study["groups"]:
        share = shares[group["runs"][0]]
        table2 = group["figures"]["table2"]
        cells = [str(len(group["runs"])), str(group["steps"]), NONE if share is None else f"{100 * share:.2g} %"]
        cells.append(_figure(group["cpu_seconds"], ".0f"))
        rows.append([group["name"], *cells, *(_figure(_micro(table2.get(row)), ".3f") for row in ("GV-A", "GA-V"))])
    table2 = study["groups"][0]["figures"]["table2"]
    alone = (_figure(_micro(table2[row]), ".3f") for row in ("A", "V"))
    return [*rows, ["the given modality alone", "", "", "", "", *alone]]


def poses(study: Study) -> list[list[str]]:
    """Return the rows of the poses: correlations of read and true heights over all classes whose poses can be read."""
    rows = [["", "generated", "control: another sound", "real pictures", "residual judge, S2I"]]
    for group in study["groups"]:
        figures = group["figures"]
        score = figures["poses"][ALL_READABLE]
        (second,) = figures["other_judges"].values()
        cells = [_figure(score[part], ".2f") for part in ("generated", "another_sound", "real")]
        rows.append([group["name"], *cells, _accuracy(second["table1"]["S2I"][str(group["hops"])])])
    return rows


def representations(study: Study) -> list[list[str]]:
    """Return the rows of CMAV's Table 1: the accuracy of the sound classifiers by representation."""
    layers = sorted({row["layers"] for row in study["rows"]})
    table = [
        ["", *(f"{count} layers: {part}" for count in layers for part in ("training pairs", "test pairs", "paper"))]
    ]
    for name in dict.fromkeys(row["representation"] for row in study["rows"]):
        cells = []
        for row in (row for row in study["rows"] if row["representation"] == name):
            train, test = (_figure(_micro(row[split]), ".3f") for split in ("train", "accuracy"))
            cells += [train.partition(" [")[0], test, f"{row['paper']:.4f}"]
        table.append([name.upper(), *cells])
    return table


#: The tables by name.
KINDS: dict[str, Callable[[Study], list[list[str]]]] = {
    "S2I": lambda study: samples(study, Direction.A2V),
    "I2S": lambda study: samples(study, Direction.V2A),
    "costs": costs,
    "poses": poses,
    "accuracies": representations,
}


def markdown(rows: Iterable[Iterable[str]]) -> str:
    """Return a table, whose first row is its head."""
    head, *body = (list(row) for row in rows)
    lines = [head, ["---"] * len(head), *body]
    return "".join("|" + "".join(f" {cell} |" if cell else " |" for cell in line) + "\n" for line in lines)


def keep(file: Path) -> None:
    """Copy the JSON of a study to `STUDIES`, without the evaluations of single runs, which no table shows."""
    study = json.loads(file.read_text(encoding="utf-8"))
    for run in study.get("runs", ()):
        del run["evaluation"]
    (STUDIES / file.name).write_text(json.dumps(study, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def with_tables(page: str, folder: Path = STUDIES) -> str:
    """Return the text of a page, with its tables written from the studies in a folder."""

    def write(match: re.Match[str]) -> str:
        study = json.loads((folder / f"{match['study']}.json").read_text(encoding="utf-8"))
        return match[1] + markdown(KINDS[match["kind"]](study))

    return TABLE.sub(write, page)


def _accuracy(by_split: Mapping[str, Any] | None) -> str:
    """Return the accuracy on the evaluated split, which is the one besides the training split."""
    if by_split is None:
        return NONE
    (evaluated,) = (accuracy for split, accuracy in by_split.items() if split != "train")
    return _figure(_micro(evaluated), ".3f")


def _micro(accuracy: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return None if accuracy is None else accuracy["micro"]


def _metrics(quality: Mapping[str, Any]) -> list[str]:
    return [_figure(quality[name], spec) for name, spec in METRICS.items()]


def _figure(figure: Mapping[str, Any] | None, spec: str) -> str:
    return NONE if figure is None else Figure(**figure).text(spec)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        keep(Path(argument))
    for file in sorted(DOCS.glob("*.md")):
        file.write_text(with_tables(file.read_text(encoding="utf-8")), encoding="utf-8")
