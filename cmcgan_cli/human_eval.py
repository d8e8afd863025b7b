"""`cmcgan human-eval`: create, inputs, serve, report, export, backup, forget, power."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmcgan_cli.choices import Hosts, Port
from cmcgan_cli.console import (
    Command,
    Device,
    Group,
    Json,
    Quiet,
    Seed,
    emit_json,
    find_run,
    note,
    out,
    parse_run,
    print_line,
    progress_bar,
)

if TYPE_CHECKING:
    from rich.table import Table

    from cmcgan_core.human_eval.summary import Summary

human_eval = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The enums below repeat names that core modules define: importing those modules here would slow down `cmcgan --help`.
# `tests/test_human_eval_cli.py` checks that the names are the same.


class DesignName(StrEnum):
    """Names of `cmcgan_core.human_eval.designs.DESIGNS`."""

    AST_AAT = "ast-aat"
    CMAV = "cmav"
    PAIRWISE = "pairwise"
    MOS = "mos"


class RatedModalities(StrEnum):
    """What raters judge: a name of `cmcgan_core.human_eval.designs.RATED_MODALITIES`, or both of them."""

    PICTURE = "picture"
    SOUND = "sound"
    BOTH = "both"


class Language(StrEnum):
    """Languages of the pages: the files in `cmcgan_core/human_eval/text/`."""

    ENGLISH = "en"
    GERMAN = "de"


StudyFolder = Annotated[
    Path, typer.Argument(metavar="STUDY", help="A study folder (made by: cmcgan human-eval create).")
]
Source = Annotated[
    Path,
    typer.Argument(metavar="DATA", help="A prepared dataset, or a folder of real pairs (violin/a.wav, violin/a.png)."),
]
Pairs = Annotated[
    int, typer.Option(min=1, max=5000, help="Number of real pairs to rate, drawn evenly over the classes.")
]
Split = Annotated[str, typer.Option(help="Split of the prepared dataset to draw from: test, validation, train, ...")]


@human_eval.callback()
def group() -> None:
    """Run a rating study: blind, balanced and resumable, with many raters at once.

    Examples:

      cmcgan human-eval create prepared/urmp --model runs/urmp-small --out study

      cmcgan human-eval serve study

      cmcgan human-eval report study --html report.html
    """


@human_eval.command(cls=Command)
def create(
    data: Source,
    models: Annotated[
        list[str],
        typer.Option(
            "--model",
            "-m",
            help="A model to rate: a run or its name in runs/, a checkpoint, box, or a folder of samples. "
            "NAME=PATH names it. Repeatable.",
        ),
    ],
    out_dir: Annotated[Path, typer.Option("--out", "-o", help="The study folder to write.")] = Path("study"),
    design: Annotated[DesignName, typer.Option(help="The question that raters answer.")] = DesignName.AST_AAT,
    pairs: Pairs = 20,
    per_rater: Annotated[
        int,
        typer.Option(
            min=1,
            help="Largest number of items that each rater gets, without attention checks; one direction of each pair.",
        ),
    ] = 40,
    checks: Annotated[int, typer.Option(min=0, max=20, help="Number of attention checks that each rater gets.")] = 3,
    allowed_failures: Annotated[
        int, typer.Option(min=0, help="The report excludes raters who fail more attention checks than this.")
    ] = 1,
    modality: Annotated[RatedModalities, typer.Option(help="What raters judge.")] = RatedModalities.BOTH,
    title: Annotated[str, typer.Option(help="Title of the first page; a default title if not given.")] = "",
    contact: Annotated[str, typer.Option(help="Contact for raters' questions.")] = "",
    about: Annotated[str, typer.Option(help="A paragraph to add to the consent text.")] = "",
    language: Annotated[
        Language, typer.Option(help="Language of the pages. Raters can choose another.")
    ] = Language.ENGLISH,
    split: Split = "test",
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Generate items from models and real pairs, and write a study folder.

    The ground truth and attention checks are added automatically. A folder of samples holds NAME.png, which the model
    generated from the sound NAME, and NAME.wav, which it generated from the picture NAME.

    Examples:

      cmcgan human-eval create prepared/urmp --model runs/urmp-small --out study

      cmcgan human-eval create pairs/ -m ours=runs/urmp-small -m theirs=samples/theirs --design pairwise --out duel
    """
    named_models = _parse_models(models)
    for path in named_models.values():
        if not path.exists():
            find_run(path)  # before torch is imported
    from cmcgan_core.human_eval.create import RESERVED_PAIRS, create_study
    from cmcgan_core.human_eval.designs import RATED_MODALITIES
    from cmcgan_core.human_eval.draw import draw_pairs, open_rated_model
    from cmcgan_core.human_eval.store import Store
    from cmcgan_core.human_eval.study import StudyPlan

    plan = StudyPlan(
        design=design.value,
        title=title,
        contact=contact,
        about=about,
        language=language.value,
        seed=seed,
        per_rater=per_rater,
        checks_per_rater=checks,
        allowed_failures=allowed_failures,
        data=str(data),
    )
    rated_models = {name: open_rated_model(path, seed, device) for name, path in named_models.items()}
    drawn = draw_pairs(data, pairs + RESERVED_PAIRS, seed, split)
    modalities = tuple(name for name in RATED_MODALITIES if modality in (name, RatedModalities.BOTH))
    with progress_bar(quiet=quiet) as draw:
        study = create_study(out_dir, plan, drawn, rated_models, modalities=modalities, on_progress=draw)
    with Store(study) as store:
        items, total = len(store.ratings_by_item()), store.total
    seconds = study.plan.sound_seconds
    if as_json:
        emit_json(
            {
                "study": str(study.root),
                "items": items,
                "items_per_rater": total,
                "models": study.plan.models,
                "sound_seconds": seconds,
            }
        )
        return
    print_line(f"{study.root}  {items} items, {total} for each rater, design {design}, sounds of {seconds:.2f} s")
    note(f"next: cmcgan human-eval serve {study.root}", quiet=quiet)


@human_eval.command(cls=Command)
def inputs(
    data: Source,
    out_dir: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pairs.")] = Path("pairs"),
    pairs: Pairs = 20,
    split: Split = "test",
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Write the real pairs of a study as files, for a model outside cmcgan.

    Besides the pairs to rate, these are four pairs for the study's examples and attention checks.

    Let the other model generate NAME.png from each NAME.wav, and NAME.wav from each NAME.png, into another folder. Then
    run `cmcgan human-eval create` with the folder of pairs as DATA and the other folder as --model.

    Examples:

      cmcgan human-eval inputs prepared/urmp --pairs 20 --out pairs
    """
    from cmcgan_core.human_eval.create import RESERVED_PAIRS
    from cmcgan_core.human_eval.draw import draw_pairs, write_pairs

    if out_dir.exists() and any(out_dir.iterdir()):
        raise typer.BadParameter(f"{out_dir} is not empty; choose another folder", param_hint="--out")
    drawn = draw_pairs(data, pairs + RESERVED_PAIRS, seed, split)
    write_pairs(drawn, out_dir)
    rated = max(len(drawn) - RESERVED_PAIRS, 0)
    print_line(f"{out_dir}  {len(drawn)} pairs: {rated} to rate, the others for examples and attention checks")
    note(f"next: cmcgan human-eval create {out_dir} --model NAME=FOLDER", quiet=quiet)


@human_eval.command(cls=Command)
def serve(
    folder: StudyFolder,
    port: Port = 8000,
    public: Annotated[
        bool,
        typer.Option("--public", help="Accept connections from other machines; needs --access-code and --admin-token."),
    ] = False,
    proxy: Annotated[
        bool,
        typer.Option(
            "--proxy",
            help="Believe X-Forwarded-For and X-Forwarded-Proto of a reverse proxy on this machine; needs "
            "--access-code and --admin-token.",
        ),
    ] = False,
    hosts: Hosts = None,
    access_code: Annotated[
        str,
        typer.Option(
            envvar="CMCGAN_ACCESS_CODE", help="Code that raters must enter before they begin.", show_default=False
        ),
    ] = "",
    admin_token: Annotated[
        str,
        typer.Option(
            envvar="CMCGAN_ADMIN_TOKEN",
            help="Token for the admin page (/admin); a random one if not given.",
            show_default=False,
        ),
    ] = "",
    terminal: Annotated[
        bool, typer.Option("--terminal", help="Rate in this terminal, without a browser; for one rater.")
    ] = False,
    resume: Annotated[str, typer.Option(help="With --terminal: the personal key of a rater who resumes.")] = "",
    quiet: Quiet = False,
) -> None:
    """Let raters answer, in their browsers or (with --terminal) in this terminal.

    Examples:

      cmcgan human-eval serve study

      CMCGAN_ACCESS_CODE=cello-4711 CMCGAN_ADMIN_TOKEN=$(openssl rand -hex 16) cmcgan human-eval serve study --public

      cmcgan human-eval serve study --terminal
    """
    import signal

    from cmcgan_core.human_eval.store import Store
    from cmcgan_core.human_eval.study import open_study

    study = open_study(folder)
    # SIGTERM ends this command as Ctrl-C does, so that the database is closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Store(study) as store:
        if terminal:
            from cmcgan_cli.human_eval_terminal import rate_in_terminal

            rate_in_terminal(study, store, resume)
            return
        from secrets import token_hex

        from cmcgan_core.human_eval.guard import Access
        from cmcgan_core.human_eval.server import make_app
        from cmcgan_core.web.serving import allowed_names, require_free_port, run_server

        if (public or proxy) and (len(access_code) < 6 or len(admin_token) < 16):
            raise typer.BadParameter(
                "needs an --access-code of 6 or more characters and an --admin-token of 16 or more characters "
                "(or CMCGAN_ACCESS_CODE and CMCGAN_ADMIN_TOKEN)",
                param_hint="--public" if public else "--proxy",
            )
        address = "0.0.0.0" if public else "127.0.0.1"
        require_free_port(address, port)
        token = admin_token or token_hex(16)
        print_line(f"http://127.0.0.1:{port}/")
        note(f"admin: http://127.0.0.1:{port}/admin" + ("" if admin_token else f"  token: {token}"), quiet=quiet)
        note("Ctrl-C stops the server; all answers are saved, and the same command resumes the study", quiet=quiet)
        access = Access(token, access_code or None, allowed_names(hosts))
        run_server(make_app(study, store, access), address, port, behind_proxy=proxy)


@human_eval.command(cls=Command)
def report(
    folder: StudyFolder,
    html: Annotated[
        Path | None, typer.Option(help="Also write the report with plots to this HTML file.", show_default=False)
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Print means with intervals, tests between models, agreement, attention checks and published results.

    Examples:

      cmcgan human-eval report study

      cmcgan human-eval report study --html report.html --json > report.json
    """
    from cmcgan_core.human_eval.store import Store
    from cmcgan_core.human_eval.study import open_study
    from cmcgan_core.human_eval.summary import summarise
    from cmcgan_core.utils.files import write_text

    study = open_study(folder)
    with Store(study) as store:
        summary = summarise(study, store)
    if html is not None:
        from cmcgan_core.human_eval.report import render_report

        write_text(html, render_report(study, summary))
        note(f"page: {html}", quiet=quiet)
    if as_json:
        emit_json(summary.to_dict())
        return
    out().print(_model_table(summary))
    out().print(_comparison_table(summary))
    alphas = ", ".join(f"{modality}s {_format_number(alpha)}" for modality, alpha in summary.agreement.items())
    out().print(f"agreement (Krippendorff's alpha): {alphas or '-'}")
    out().print(
        f"attention checks: {summary.checks.failed} of {summary.checks.shown} failed; "
        f"excluded raters: {', '.join(summary.excluded) or 'none'}"
    )
    out().print(
        f"raters: {summary.consented} consented, {summary.answered} answered, {summary.finished} finished; "
        f"answers included: {summary.answers}"
    )


@human_eval.command(cls=Command)
def export(
    folder: StudyFolder,
    out_file: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="A .csv or .json file; CSV on standard output if not given.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write every answer as a row, attention checks included. Raters appear as random numbers.

    Examples:

      cmcgan human-eval export study --out answers.csv

      cmcgan human-eval export study --json
    """
    from cmcgan_core.human_eval.export import EXPORT_FORMATS, export_answers
    from cmcgan_core.human_eval.store import Store
    from cmcgan_core.human_eval.study import open_study
    from cmcgan_core.utils.files import write_text

    file_format = "json" if as_json else "csv" if out_file is None else out_file.suffix.removeprefix(".")
    if file_format not in EXPORT_FORMATS:
        raise typer.BadParameter(f"{out_file} must end in .csv or .json", param_hint="--out")
    with Store(open_study(folder)) as store:
        text = export_answers(store, file_format)
    if out_file is None:
        typer.echo(text, nl=False)
    else:
        write_text(out_file, text)
        print_line(str(out_file))


@human_eval.command(cls=Command)
def backup(
    folder: StudyFolder,
    out_file: Annotated[Path, typer.Option("--out", "-o", help="The copy to write. An existing file is replaced.")],
) -> None:
    """Copy study.db with every answer so far into one file, also while the study is served.

    To restore a study, stop its server, delete study.db, study.db-wal and study.db-shm, and copy the file to study.db.

    Examples:

      cmcgan human-eval backup study --out study-monday.db
    """
    from cmcgan_core.human_eval.store import Store
    from cmcgan_core.human_eval.study import open_study

    with Store(open_study(folder)) as store:
        store.back_up(out_file)
    print_line(str(out_file))


@human_eval.command(cls=Command)
def forget(
    folder: StudyFolder,
    rater: Annotated[
        str, typer.Argument(metavar="RATER", help="The rater's number, as on the last page and in exports.")
    ],
) -> None:
    """Delete a rater who withdrew, and all their answers.

    Examples:

      cmcgan human-eval forget study r1f2e3d4c5b6
    """
    from cmcgan_core.human_eval.store import Store
    from cmcgan_core.human_eval.study import open_study

    with Store(open_study(folder)) as store:
        found = store.forget(rater)
    if not found:
        raise typer.BadParameter(
            f"{folder} has no rater {rater}; list the raters with: cmcgan human-eval export {folder}",
            param_hint="RATER",
        )
    out().print(f"deleted {rater} and all their answers")


@human_eval.command(cls=Command)
def power(
    first: Annotated[
        float, typer.Argument(metavar="FIRST", min=0, max=1, help="Expected rate of the first model.")
    ] = 0.714,
    second: Annotated[
        float, typer.Argument(metavar="SECOND", min=0, max=1, help="Expected rate of the second model.")
    ] = 0.429,
    items: Annotated[int, typer.Option(min=1, help="Number of items of each model that a rater gets.")] = 10,
    spread: Annotated[
        float, typer.Option(min=0, max=0.5, help="Standard deviation over raters of a rater's own rate for a model.")
    ] = 0.15,
    target_power: Annotated[
        float, typer.Option("--power", min=0.5, max=0.99, help="Probability that the test finds the difference.")
    ] = 0.8,
    as_json: Json = False,
) -> None:
    """Compute how many raters a study needs to tell two models apart.

    The default rates are two I-ASTs of the CMCGAN paper. The test is paired over raters and two-sided at 5 %; the
    formula is in docs/human-eval.md. After the study, `cmcgan human-eval report` prints the number of raters that is
    needed for the observed differences.

    Examples:

      cmcgan human-eval power 0.7 0.6 --items 15
    """
    from cmcgan_core.human_eval.statistics import count_raters_needed, difference_deviation

    deviation = difference_deviation(first, second, items, spread)
    raters = count_raters_needed(first - second, deviation, power=target_power)
    if as_json:
        emit_json({"raters": raters, "deviation": deviation})
    elif raters is None:
        out().print("the two rates are equal, so no number of raters can tell the models apart")
    else:
        out().print(f"{raters} raters")


def _parse_models(models: list[str]) -> dict[str, Path]:
    """Parse PATH or NAME=PATH. Return paths by name; without NAME, the name is that of the file or folder."""
    paths: dict[str, Path] = {}
    for text in models:
        name, equals, rest = text.partition("=")
        path = parse_run(rest if equals else text)
        if not equals:
            name = path.parent.name if path.name == "last.safetensors" else path.resolve().stem
        if not name or name in paths:
            raise typer.BadParameter(
                f"{text}: the model's name is empty or used twice; name it with NAME=PATH", param_hint="--model"
            )
        paths[name] = path
    return paths


def _model_table(summary: "Summary") -> "Table":
    from cmcgan_cli.tables.cells import new_table

    table = new_table("Models", "model", "measure", "mean", "95 % (raters)", "95 % (Wilson)", "answers", "raters")
    for row in summary.rows:
        table.add_row(
            row.model,
            _format_measure(row.measure, row.modality),
            _format_number(row.mean),
            _format_interval(row.bootstrap),
            _format_interval(row.wilson),
            str(row.answers),
            str(row.raters),
        )
    for paper in summary.paper:
        table.add_row(
            paper.model,
            _format_measure(paper.measure, paper.modality),
            _format_number(paper.mean),
            "-",
            _format_interval(paper.wilson),
            str(paper.votes),
            "",
            style="dim",
        )
    return table


def _comparison_table(summary: "Summary") -> "Table":
    from cmcgan_cli.tables.cells import new_table

    table = new_table(
        "Differences between models (permutation tests)",
        "models",
        "measure",
        "difference",
        "95 %",
        "p raters",
        "p Holm",
        "p pairs",
        "raters needed",
    )
    for comparison in summary.comparisons:
        p_values = (comparison.p_raters, comparison.p_holm, comparison.p_pairs)
        table.add_row(
            f"{comparison.first} - {comparison.second}",
            _format_measure(comparison.measure, comparison.modality),
            f"{comparison.difference:+.3f}",
            _format_interval(comparison.interval),
            *[f"{p:.4f}" for p in p_values],
            "-" if comparison.raters_needed is None else str(comparison.raters_needed),
        )
    return table


def _format_measure(measure: str, modality: str) -> str:
    return measure if "-" in measure else f"{measure} ({modality})"


def _format_interval(interval: "tuple[float, float] | None") -> str:
    return "-" if interval is None else f"[{interval[0]:.2f}, {interval[1]:.2f}]"


def _format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
