"""Retrieval: find the files of a folder that are most similar to a sound or a picture.

A network embeds sounds and pictures as vectors that can be compared. `files` finds the files that are searched,
`gallery` embeds them, `index` keeps their embeddings, `query` embeds the file that the search begins with, and `search`
compares them by cosine. `retrieval` puts these together, and `results` says what was found. The package itself imports
none of them, because `files` and `results` are used without torch. `docs/retrieval.md` describes the rules.
"""
