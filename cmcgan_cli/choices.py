"""Options that commands share."""

from typing import Annotated

import typer

SplitOption = Annotated[
    str, typer.Option("--split", help="Split to evaluate: test, validation, train, or another one of the dataset.")
]
Latents = Annotated[int, typer.Option("--latents", min=1, help="Number of samples of each pair.")]
