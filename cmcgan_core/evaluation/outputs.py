"""."""

from torch import Tensor

#: Names of the directions in the papers' tables.
TABLE_NAMES = {"a2v": "S2I", "v2a": "I2S"}


#: What stands in for the generated modality in the controls.
CONTROLS = ("constant", "other class", "noise")


Name = tuple[str, ...]


JudgeOutputs = dict[Name, Tensor]
