"""Generate the other modality of any input: clips, pictures, long sounds, films, and folders of them.

`plan` chooses the route and the output names of each input. `batch` runs the tasks: `clips` generates still pictures
and the sounds of pictures, several inputs at a time; `films` generates everything with moving pictures. A
`session.GenerationSession` holds what all tasks share. The package itself imports none of them, because `plan` is used
without torch.
"""
