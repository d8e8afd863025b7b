"""Options that commands share."""

from typing import Annotated

import typer

SplitOption = Annotated[
    str, typer.Option("--split", help="Split to evaluate: test, validation, train, or another one of the dataset.")
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        help="Host name under which the server is reached, such as study.example.org. IP addresses and this machine's "
        "name are always accepted. Repeatable.",
        show_default=False,
    ),
]
Latents = Annotated[int, typer.Option("--latents", min=1, help="Number of samples of each pair.")]
