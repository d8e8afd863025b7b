"""A subcommand: `cmcgan parameters`. It is imported only when it is called, so that `cmcgan --help` stays fast."""

from typing import Annotated

import typer


def parameters(
    preset: Annotated[str, typer.Argument(help="A preset.")] = "small",
    encoder: Annotated[str, typer.Option(help="An encoder, built in or of a plugin.")] = "conv",
) -> None:
    """Count the parameters of a preset's encoders.

    Example:

      cmcgan parameters small --encoder residual
    """
    from cmcgan_core import ENCODERS, Modality, load_config

    network = load_config(preset).network
    for modality in Modality:
        module = ENCODERS.get(encoder)(modality.channels, network.size(modality), network, ["real"])
        count = sum(parameter.numel() for parameter in module.parameters())
        typer.echo(f"{modality.word} encoder {encoder!r} of {preset}: {count:,} parameters")
