"""`cmcgan evaluate`."""

from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.console import (
    Checkpoint,
    Data,
    Device,
    Json,
    Quiet,
    Seed,
    emit_json,
    note,
    out,
    progress_bar,
    resumable,
)

if TYPE_CHECKING:
    from rich.table import Table

    from cmcgan_core.evaluate import Accuracy, Evaluation


def evaluate(
    data: Data,
    checkpoint: Checkpoint = None,
    split: Annotated[str, typer.Option(help="Split to judge: test, validation or train.")] = "test",
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge a trained model on a whole split, beside the paper's Tables 1 and 2.

    The judges are the paper's classifiers, trained once on the real training pairs and kept beside the dataset.

    Examples:

      cmcgan evaluate prepared/sub_urmp

      cmcgan evaluate prepared/sub_urmp --checkpoint runs/sub_urmp-small --json > evaluation.json
    """
    from cmcgan_core.evaluate import evaluate as run_evaluation

    with resumable("stopped; the same command goes on with what is trained"), progress_bar(quiet=quiet) as draw:
        found = run_evaluation(checkpoint, data, split=split, seed=seed, device=device, on_progress=draw)
    if as_json:
        emit_json(found.to_dict())
        return
    out().print(table1(found))
    out().print(table2(found))
    note(f"{found.pairs[split]} {split} pairs, {found.pairs['train']} training pairs, seed {found.seed}", quiet=quiet)


def table1(found: "Evaluation") -> "Table":
    """Judged accuracy of generated samples beside the paper's."""
    from rich.table import Table

    paper = found.to_dict()["paper"]["table1"]
    table = Table("", "train", found.split, "balanced", title="Table 1: judged accuracy of generated samples")
    for name, hops in found.table1.items():
        for number, parts in hops.items():
            own = " *" if number == str(found.hops) else ""
            label = {"1": "direct", "2": "two hops"}[number]
            table.add_row(f"{name} {label}{own}", *_cells(parts, found.split))
        for row, values in paper[name].items():
            table.add_row(f"{name} {row}", _number(values.get("train")), _number(values.get("test")), "-", style="dim")
        real = found.real["v" if name == "S2I" else "a"]
        table.add_row(f"{name} ceiling (real {'pictures' if name == 'S2I' else 'sounds'})", *_cells(real, found.split),
                      end_section=True)  # fmt: skip
    table.caption = "* the model's own output"
    return table


def table2(found: "Evaluation") -> "Table":
    """The dynamic multimodal classification network, its controls and the paper's figures."""
    from rich.table import Table

    paper = found.to_dict()["paper"]["table2"]
    table = Table("", found.split, "balanced", "paper", title="Table 2: dynamic multimodal classification")
    for name, accuracy in found.table2.items():
        label = name if name in paper else f"  control: {name}"
        table.add_row(label, f"{accuracy.micro:.4f}", f"{accuracy.balanced:.4f}", _number(paper.get(name)))
    return table


def _cells(parts: "dict[str, Accuracy]", split: str) -> tuple[str, str, str]:
    return _number(parts["train"].micro), _number(parts[split].micro), _number(parts[split].balanced)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
