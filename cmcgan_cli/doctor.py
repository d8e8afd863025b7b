"""`cmcgan doctor`."""

import typer

from cmcgan_cli.console import Json, emit_json, out


def doctor(as_json: Json = False) -> None:
    """Show versions, devices and codecs, what is wrong, and how to mend it; the exit code is 1 if anything is.

    Examples:

      cmcgan doctor

      cmcgan doctor --json
    """
    from cmcgan_core.doctor import run_checks

    findings = run_checks()
    if as_json:
        emit_json([finding.__dict__ for finding in findings])
    else:
        from rich.table import Table

        table = Table("what", "found", "wrong", "mend it")
        for finding in findings:
            row = (finding.name, finding.value, finding.fault or "", finding.mend or "")
            table.add_row(*row, style="red" if finding.fault else None)
        out().print(table)
    if any(finding.fault for finding in findings):
        raise typer.Exit(1)
