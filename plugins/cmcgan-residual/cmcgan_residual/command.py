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
    from cmcgan_core import ENCODERS, load_config

    network = load_config(preset).network
    make = ENCODERS.get(encoder)
    sizes = {"picture": (3, (network.picture_size, network.picture_size)), "sound": (1, network.spectrogram_size)}
    for name, (channels, size) in sizes.items():
        made = make(channels, size, network, ["real"])
        typer.echo(f"{name} encoder {encoder!r} of {preset}: {sum(p.numel() for p in made.parameters()):,} parameters")
