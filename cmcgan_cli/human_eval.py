"""`cmcgan human-eval`: create, inputs, serve, report, export, forget, power."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.console import Device, Json, Quiet, Seed, emit_json, note, out, progress_bar

if TYPE_CHECKING:
    from rich.table import Table

    from cmcgan_core.human_eval.summary import Summary

human_eval = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="A study (made by: cmcgan human-eval create).")]
Source = Annotated[
    Path,
    typer.Argument(metavar="DATA", help="A prepared dataset, or a folder of real pairs (violin/a.wav, violin/a.png)."),
]
Pairs = Annotated[int, typer.Option(min=1, max=5000, help="Real pairs to rate, drawn evenly over the classes.")]
Split = Annotated[str, typer.Option(help="Split of the dataset to draw from: test, validation or train.")]


@human_eval.callback()
def group() -> None:
    """Run a rating study: blind, balanced, resumable, many raters at once.

    Examples:

      cmcgan human-eval create prepared/urmp --model runs/urmp-small --out study

      cmcgan human-eval serve study

      cmcgan human-eval report study --html report.html
    """


@human_eval.command()
def create(
    data: Source,
    models: Annotated[
        list[str],
        typer.Option(
            "--model", "-m", help="A run, a checkpoint, or a folder of samples; NAME=PATH names it. Repeat it."
        ),
    ],
    out_dir: Annotated[Path, typer.Option("--out", "-o", help="The study folder.")] = Path("study"),
    design: Annotated[str, typer.Option(help="ast-aat, cmav, pairwise or mos.")] = "ast-aat",
    pairs: Pairs = 12,
    per_rater: Annotated[int, typer.Option(min=1, help="Items that one rater gets, attention checks besides.")] = 40,
    checks: Annotated[int, typer.Option(min=0, max=20, help="Attention checks for each rater.")] = 3,
    allowed_failures: Annotated[
        int, typer.Option(min=0, help="Raters who fail more checks are left out of the report.")
    ] = 1,
    modality: Annotated[str, typer.Option(help="What is judged: picture, sound or both.")] = "both",
    title: Annotated[str, typer.Option(help="What raters read at the top; a plain one by default.")] = "",
    contact: Annotated[str, typer.Option(help="Whom raters may ask.")] = "",
    about: Annotated[str, typer.Option(help="A paragraph to add to the consent text.")] = "",
    language: Annotated[str, typer.Option(help="Language of the pages (en, de); raters may change it.")] = "en",
    split: Split = "test",
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw items from models and real pairs, and write a study folder.

    Ground truth and attention checks are added by themselves. A folder of samples holds NAME.png, which the model made
    from NAME's sound, and NAME.wav, which it made from NAME's picture.

    Examples:

      cmcgan human-eval create prepared/urmp --model runs/urmp-small --out study

      cmcgan human-eval create pairs/ -m ours=runs/urmp-small -m theirs=samples/theirs --design pairwise --out duel
    """
    from cmcgan_core.human_eval.create import SET_ASIDE, create_study
    from cmcgan_core.human_eval.designs import MODALITIES
    from cmcgan_core.human_eval.draw import draw_pairs, open_maker
    from cmcgan_core.human_eval.store import Store
    from cmcgan_core.human_eval.study import Plan, languages

    if modality not in (*MODALITIES, "both"):
        raise typer.BadParameter(f"{modality!r} is none of picture, sound, both", param_hint="--modality")
    if language not in languages():
        raise typer.BadParameter(f"{language!r} is none of {', '.join(languages())}", param_hint="--language")
    plan = Plan(
        design=design,
        title=title,
        contact=contact,
        about=about,
        language=language,
        seed=seed,
        per_rater=per_rater,
        checks_per_rater=checks,
        allowed_failures=allowed_failures,
        data=str(data),
    )
    makers = {name: open_maker(path, seed, device) for name, path in _named(models).items()}
    drawn = draw_pairs(data, pairs + SET_ASIDE, seed, split)
    asked = MODALITIES if modality == "both" else tuple(m for m in MODALITIES if m == modality)
    with progress_bar(quiet=quiet) as draw:
        study = create_study(out_dir, plan, drawn, makers, modalities=asked, on_progress=draw)
    items = Store(study).ratings_by_item()
    if as_json:
        emit_json({"study": str(study.root), "items": len(items), "models": study.plan.models})
        return
    out().print(f"{study.root}  {len(items)} items, design {design}", soft_wrap=True)
    note(f"next: cmcgan human-eval serve {study.root}", quiet=quiet)


@human_eval.command()
def inputs(
    data: Source,
    out_dir: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pairs.")] = Path("pairs"),
    pairs: Pairs = 12,
    split: Split = "test",
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Write the real pairs of a study as files, for models that run elsewhere.

    Let the other model make NAME.png from each NAME.wav and NAME.wav from each NAME.png, in a folder of its own; then
    give this folder as DATA to `cmcgan human-eval create`, and that one as --model.

    Examples:

      cmcgan human-eval inputs prepared/urmp --pairs 20 --out pairs
    """
    from cmcgan_core.human_eval.create import SET_ASIDE
    from cmcgan_core.human_eval.draw import draw_pairs, write_pairs

    if out_dir.exists() and any(out_dir.iterdir()):
        raise typer.BadParameter(f"{out_dir} is not empty; choose another", param_hint="--out")
    drawn = draw_pairs(data, pairs + SET_ASIDE, seed, split)
    write_pairs(drawn, out_dir)
    out().print(f"{out_dir}  {len(drawn)} pairs", soft_wrap=True)
    note(f"next: cmcgan human-eval create {out_dir} --model NAME=FOLDER", quiet=quiet)


@human_eval.command()
def serve(
    folder: StudyFolder,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    public: Annotated[bool, typer.Option("--public", help="Let other machines in; needs the two below.")] = False,
    access_code: Annotated[
        str,
        typer.Option(envvar="CMCGAN_ACCESS_CODE", help="What raters type in before they begin.", show_default=False),
    ] = "",
    admin_token: Annotated[
        str,
        typer.Option(
            envvar="CMCGAN_ADMIN_TOKEN", help="What opens /admin; drawn here if not given.", show_default=False
        ),
    ] = "",
    terminal: Annotated[bool, typer.Option("--terminal", help="Rate here, without a browser; for one rater.")] = False,
    resume: Annotated[str, typer.Option(help="With --terminal: the personal key of a rater who goes on.")] = "",
    quiet: Quiet = False,
) -> None:
    """Let raters rate, in their browsers or (--terminal) right here.

    Examples:

      cmcgan human-eval serve study

      CMCGAN_ACCESS_CODE=cello-4711 CMCGAN_ADMIN_TOKEN=$(openssl rand -hex 16) cmcgan human-eval serve study --public

      cmcgan human-eval serve study --terminal
    """
    from cmcgan_core.human_eval.store import Store
    from cmcgan_core.human_eval.study import open_study

    study = open_study(folder)
    store = Store(study)
    if terminal:
        from cmcgan_cli.human_eval_terminal import rate_in_terminal

        rate_in_terminal(study, store, resume)
        return
    from secrets import token_hex

    from cmcgan_core.human_eval.guard import Access
    from cmcgan_core.human_eval.server import run_server

    if public and (len(access_code) < 6 or len(admin_token) < 16):
        raise typer.BadParameter(
            "needs --access-code of 6 characters and --admin-token of 16 characters, or more "
            "(or CMCGAN_ACCESS_CODE and CMCGAN_ADMIN_TOKEN)",
            param_hint="--public",
        )
    token = admin_token or token_hex(16)
    access = Access(token, access_code, None) if public else Access(token, access_code or None)
    out().print(f"http://127.0.0.1:{port}/", soft_wrap=True)
    note(f"admin: http://127.0.0.1:{port}/admin" + ("" if admin_token else f"  token: {token}"), quiet=quiet)
    note("Ctrl-C stops; every answer is saved, and the same command goes on", quiet=quiet)
    run_server(study, store, access, "0.0.0.0" if public else "127.0.0.1", port)


@human_eval.command()
def report(
    folder: StudyFolder,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots too.", show_default=False)] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rates and means with intervals, tests between models, agreement, attention checks, the papers' figures.

    Examples:

      cmcgan human-eval report study

      cmcgan human-eval report study --html report.html --json > report.json
    """
    from cmcgan_core.human_eval.store import Store
    from cmcgan_core.human_eval.study import open_study
    from cmcgan_core.human_eval.summary import summarise
    from cmcgan_core.utils.files import write_text

    study = open_study(folder)
    summary = summarise(study, Store(study))
    if html is not None:
        from cmcgan_core.human_eval.report import report_page

        write_text(html, report_page(study, summary))
        note(f"page: {html}", quiet=quiet)
    if as_json:
        emit_json(summary.to_dict())
        return
    out().print(_models(summary))
    out().print(_comparisons(summary))
    alphas = ", ".join(f"{modality}s {_number(alpha)}" for modality, alpha in summary.agreement.items())
    out().print(f"agreement (Krippendorff's alpha): {alphas or '-'}")
    out().print(
        f"attention checks: {summary.checks.failed} of {summary.checks.shown} failed; "
        f"left out: {', '.join(summary.excluded) or 'nobody'}"
    )
    out().print(
        f"raters: {summary.consented} consented, {summary.answered} answered, {summary.finished} finished; "
        f"{summary.answers} ratings count"
    )


@human_eval.command()
def export(
    folder: StudyFolder,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A .csv or .json file; CSV on standard output if not given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Every answer as a row, attention checks included; raters are random numbers.

    Examples:

      cmcgan human-eval export study --out answers.csv

      cmcgan human-eval export study --json
    """
    from cmcgan_core.human_eval.export import FORMATS
    from cmcgan_core.human_eval.export import export as export_answers
    from cmcgan_core.human_eval.store import Store
    from cmcgan_core.human_eval.study import open_study
    from cmcgan_core.utils.files import write_text

    kind = "json" if as_json else "csv" if out_file is None else out_file.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise typer.BadParameter(f"{out_file} should end in .csv or .json", param_hint="--out")
    text = export_answers(Store(open_study(folder)), kind)
    if out_file is None:
        typer.echo(text, nl=False)
    else:
        write_text(out_file, text)
        out().print(str(out_file), soft_wrap=True)


@human_eval.command()
def forget(
    folder: StudyFolder,
    rater: Annotated[str, typer.Argument(help="Number of the rater, as the last page and the exports show it.")],
) -> None:
    """Delete a rater who withdrew, with all answers.

    Examples:

      cmcgan human-eval forget study r1f2e3d4c5b6
    """
    from cmcgan_core.human_eval.store import Store
    from cmcgan_core.human_eval.study import open_study

    if not Store(open_study(folder)).forget(rater):
        raise typer.BadParameter(f"{folder} has no rater {rater}", param_hint="RATER")
    out().print(f"{rater} is deleted")


@human_eval.command()
def power(
    first: Annotated[float, typer.Argument(min=0, max=1, help="Rate expected of one model.")] = 0.714,
    second: Annotated[float, typer.Argument(min=0, max=1, help="Rate expected of the other.")] = 0.429,
    items: Annotated[int, typer.Option(min=1, help="Items of each model that one rater gets.")] = 10,
    diversity: Annotated[
        float, typer.Option(min=0, max=0.5, help="Standard deviation of raters' own rates for a model.")
    ] = 0.15,
    wanted: Annotated[float, typer.Option("--power", min=0.5, max=0.99, help="Probability of finding it.")] = 0.8,
    as_json: Json = False,
) -> None:
    """How many raters it takes to tell two models apart, before the study; by default the paper's two I-ASTs.

    A paired two-sided test at 5 % over raters; the formula is in docs/human-eval.md. After the study,
    `cmcgan human-eval report` says it for the differences that were seen.

    Examples:

      cmcgan human-eval power 0.7 0.6 --items 15
    """
    from cmcgan_core.human_eval.statistics import difference_deviation, raters_needed

    deviation = difference_deviation(first, second, items, diversity)
    raters = raters_needed(first - second, deviation, power=wanted)
    if as_json:
        emit_json({"raters": raters, "deviation": deviation})
    elif raters is None:
        out().print("the rates are equal: no number of raters tells the models apart")
    else:
        out().print(f"{raters} raters")


def _named(models: list[str]) -> dict[str, Path]:
    """Models by name; that of the file or folder where none is given."""
    named: dict[str, Path] = {}
    for text in models:
        name, equals, rest = text.partition("=")
        path = Path(rest if equals else text)
        if not equals:
            name = path.parent.name if path.name == "last.safetensors" else path.resolve().stem
        if not name or name in named:
            raise typer.BadParameter(f"{text}: its name is empty or taken; give NAME=PATH", param_hint="--model")
        named[name] = path
    return named


def _models(summary: "Summary") -> "Table":
    from rich.table import Table

    table = Table("model", "measure", "mean", "95 % (raters)", "95 % (Wilson)", "answers", "raters", title="Models")
    for row in summary.rows:
        table.add_row(
            row.model,
            _measure(row.measure, row.modality),
            _number(row.mean),
            _interval(row.bootstrap),
            _interval(row.wilson),
            str(row.answers),
            str(row.raters),
        )
    for paper in summary.paper:
        table.add_row(
            paper.model,
            _measure(paper.measure, paper.modality),
            _number(paper.mean),
            "-",
            _interval(paper.wilson),
            str(paper.votes),
            "",
            style="dim",
        )
    return table


def _comparisons(summary: "Summary") -> "Table":
    from rich.table import Table

    table = Table(
        "models",
        "measure",
        "difference",
        "95 %",
        "p raters",
        "p Holm",
        "p pairs",
        "raters needed",
        title="Differences between models (permutation tests)",
    )
    for c in summary.comparisons:
        needed = "-" if c.raters_needed is None else str(c.raters_needed)
        p_values = [f"{p:.4f}" for p in (c.p_raters, c.p_holm, c.p_pairs)]
        table.add_row(
            f"{c.first} - {c.second}",
            _measure(c.measure, c.modality),
            f"{c.difference:+.3f}",
            _interval(c.interval),
            *p_values,
            needed,
        )
    return table


def _measure(measure: str, modality: str) -> str:
    return measure if "-" in measure else f"{measure} ({modality})"


def _interval(interval: "tuple[float, float] | None") -> str:
    return "-" if interval is None else f"[{interval[0]:.2f}, {interval[1]:.2f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
