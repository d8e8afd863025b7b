"""Generate the other modality of any input: clips, pictures, long sounds, films, and folders of them.

`plan` chooses the route and the output names of each input. `generate_all` runs the tasks: `clips` generates still
pictures and the sounds of pictures, several inputs at a time; `films` generates everything with moving pictures. A
`GenerationSession` holds what all tasks share.
"""

from cmcgan_core.inference.generate.batch import Generated, generate_all, generate_file
from cmcgan_core.inference.generate.plan import OutputOptions, Task, plan
from cmcgan_core.inference.generate.session import GenerationSession

__all__ = ["Generated", "GenerationSession", "OutputOptions", "Task", "generate_all", "generate_file", "plan"]
