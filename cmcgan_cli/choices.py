"""Choices that commands share, as enums, so that help and completion list them."""

from enum import StrEnum
from typing import Annotated

import typer


class Split(StrEnum):
    """A split of a prepared dataset."""

    TEST = "test"
    VALIDATION = "validation"
    TRAIN = "train"


SplitOption = Annotated[Split, typer.Option("--split", help="Split to evaluate.")]
Latents = Annotated[int, typer.Option("--latents", min=1, help="Number of samples of each pair.")]
