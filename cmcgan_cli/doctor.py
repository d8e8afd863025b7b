"""The command `cmcgan doctor`: check the installation."""

from dataclasses import asdict

import typer

from cmcgan_cli.console import Json, Scheduler, emit_json, out, print_line


def doctor(scheduler: Scheduler = None, as_json: Json = False) -> None:
    """Show versions, devices and codecs, and for each fault how to fix it.

    The exit code is 1 if there is a fault. A missing package that only an option needs is not a fault.

    With --scheduler, the workers of a cluster are compared with this machine.

    Examples:

      cmcgan doctor

      cmcgan doctor --json

      cmcgan doctor --scheduler tcp://host:8786
    """
    from cmcgan_core.doctor import run_checks

    findings = run_checks(scheduler)
    if as_json:
        emit_json([asdict(finding) for finding in findings])
    else:
        from cmcgan_cli.tables.cells import new_table

        table = new_table(None, "check", "result")
        for finding in findings:
            table.add_row(finding.name, finding.value, style="red" if finding.fault else None)
        out().print(table)
        for finding in findings:
            if finding.fault:
                print_line(f"{finding.name}: {finding.fault}; to fix it: {finding.fix}")
    if any(finding.fault for finding in findings):
        raise typer.Exit(1)
