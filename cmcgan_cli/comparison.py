"""Runs side by side, for `cmcgan evaluate --compare`: a column a recipe."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cmcgan_cli.console import out

if TYPE_CHECKING:
    from rich.table import Table

    from cmcgan_core.evaluation.compare import Comparison, Figure, Group

_HOPS = {"1": "direct", "2": "two hops"}


def show_comparison(compared: "Comparison") -> None:
    """Print the tables."""
    for table in (costs(compared), figures(compared)):
        out().print(table)


def costs(compared: "Comparison") -> "Table":
    """What was trained, and what it cost."""
    from rich.table import Table

    table = Table("run", "preset", "seeds", "steps", "training, s", "CPU-s", "on", title="Runs")
    for group in compared.groups:
        configs = [entry.about.config for entry in group.entries]
        devices = ", ".join(sorted({entry.device for entry in group.entries if entry.device}))
        seconds = shown(group.seconds, ".0f"), shown(group.cpu_seconds, ".0f")
        seeds = ", ".join(str(config.seed) for config in configs)
        table.add_row(group.name, configs[0].preset or "-", seeds, str(group.steps), *seconds, devices or "-")
    table.caption = "seconds by the clock, and of all the CPU's threads, as the run's log has them"
    return table


def figures(compared: "Comparison") -> "Table":
    """Tables 1 and 2, the second judge and the distances, a column a recipe."""
    from rich.table import Table

    split = compared.entries[0].evaluation.split
    table = Table("", *(group.name.replace(", ", "\n") for group in compared.groups), "paper", title=f"{split} split")
    columns = [dict(rows(group, split)) for group in compared.groups]
    names = list(dict.fromkeys(name for column in columns for name in column))
    paper = papers()
    for name, following in zip(names, [*names[1:], ("", "")], strict=True):
        values = [shown(column.get(name), ".3f" if name[0] != "samples" else ".3g") for column in columns]
        published = paper.get(name)
        table.add_row(
            name[1], *values, "" if published is None else f"{published:.4f}", end_section=name[0] != following[0]
        )
    table.caption = f"{brackets(compared.groups)}; * the run's own output"
    return table


def brackets(groups: "Sequence[Group]") -> str:
    """What the brackets of a table of recipes mean."""
    square = "brackets: 95 % over recordings"
    several = any(len(group.entries) > 1 for group in groups)
    return f"round brackets: standard deviation over seeds; square {square}" if several else square


def rows(group: "Group", split: str) -> Iterator[tuple[tuple[str, str], "Figure | None"]]:
    """Figures of a recipe by section and label."""
    found, first = group.figures, group.entries[0].evaluation
    judges: dict[str, Any] = {"": found}
    if found["other_judges"]:
        judges[", 2nd judge"] = next(iter(found["other_judges"].values()))
    for judge, said in judges.items():
        for direction, by_hops in said["table1"].items():
            for hops, parts in by_hops.items():
                own = " *" if hops == str(first.hops) else ""
                yield ("table1" + judge, f"{direction} {_HOPS[hops]}{own}{judge}"), parts[split]["micro"]
        for modality, parts in said["recovered"].items():
            what = "pictures" if modality == "v" else "sounds"
            yield ("table1" + judge, f"{what} recovered{judge}"), parts[split]["micro"]
    for name, accuracy in found["table2"].items():
        yield ("table2", name), accuracy["micro"]
    for direction, kinds in found["quality"].items():
        quality = kinds[str(first.hops)]
        yield ("samples", f"{direction} Fréchet distance"), quality["frechet_distance"].get(first.judge)
        yield ("samples", f"{direction} kernel distance"), quality["kernel_distance"].get(first.judge)
        yield ("samples", f"{direction} upper frequencies / real"), quality["high_frequency"]
        yield ("samples", f"{direction} diversity over z / real"), quality["diversity"]
    if found["pose"]:
        yield ("samples", "pose: r within classes"), found["pose"]["generated"].get(str(first.hops))


def papers() -> dict[tuple[str, str], float]:
    """The paper's figures under the names of our rows; its own output of Table 1 is that of two hops."""
    from cmcgan_core.evaluation.paper import paper_tables

    tables = paper_tables()
    named = {("table2", name): value for name, value in tables["table2"].items()}
    for direction, by_system in tables["table1"].items():
        for mark in ("", " *"):
            named["table1", f"{direction} two hops{mark}"] = by_system["CMCGAN (paper)"]["test"]
    return named


def shown(figure: "Figure | None", spec: str) -> str:
    """A figure with its interval or its deviation over the seeds, see `Figure.text`."""
    return "-" if figure is None else figure.text(spec)
