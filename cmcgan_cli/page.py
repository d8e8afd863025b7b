"""`cmcgan app`."""

from pathlib import Path
from typing import Annotated

import typer

from cmcgan_cli.choices import Hosts, Port
from cmcgan_cli.console import Checkpoint, Device, Quiet, find_run, note, print_line, require_device


def page(
    checkpoint: Checkpoint = None,
    searched: Annotated[
        list[Path] | None,
        typer.Option(
            "--in",
            "-i",
            exists=True,
            help="A folder or a file that the page can search, as cmcgan retrieve does. Visitors can hear and see what "
            "is found. May be repeated.",
            show_default=False,
        ),
    ] = None,
    port: Port = 8000,
    public: Annotated[
        bool,
        typer.Option("--public", help="Accept connections from other machines. There is no login."),
    ] = False,
    hosts: Hosts = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Serve a local page to try a model in a browser.

    Drop, choose or record a sound, a picture or a video. The page shows pictures, films and sounds that the model
    generates from it, and classifies it. Every run in runs/ can be chosen. Nothing is loaded from the internet. Results
    are kept in a temporary folder, which is deleted at the end; the page has links to download them.

    Examples:

      cmcgan app

      cmcgan app --checkpoint urmp-small --port 8080

      cmcgan app --in photos/ --in recordings/
    """
    import signal

    run = find_run(checkpoint)
    require_device(device)
    from cmcgan_core.app.models import Models
    from cmcgan_core.app.run import run_app
    from cmcgan_core.web.serving import allowed_names, require_free_port

    address = "0.0.0.0" if public else "127.0.0.1"
    require_free_port(address, port)
    # SIGTERM ends this command as Ctrl-C does, so that the results are deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print_line(f"http://127.0.0.1:{port}/")
    note("Ctrl-C stops the server and deletes the results", quiet=quiet)
    if public:
        note("everybody who can reach this machine can use the page, because it has no login", quiet=quiet)
    run_app(Models(run, device), list(map(str, searched or ())), allowed_names(hosts), address, port)
