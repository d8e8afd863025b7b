"""Any input to the other modality: clips, pictures, long sounds, films, folders of them.

`plan` decides what becomes of each input and how it is named; `make_all` makes it, stills and sounds of pictures by
`clips`, several at a time, and everything with pictures that move by `films`.
"""

from cmcgan_core.inference.generate.batch import Generated, generate_file, make_all
from cmcgan_core.inference.generate.plan import OutputOptions, Task, plan

__all__ = ["Generated", "OutputOptions", "Task", "generate_file", "make_all", "plan"]
