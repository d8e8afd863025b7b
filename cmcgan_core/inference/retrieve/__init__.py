"""Retrieval: find the files of a folder that are most similar to a sound or a picture.

A network embeds sounds and pictures as vectors that can be compared. `gallery` embeds the files that are searched,
`index` keeps their embeddings, `query` embeds the file that the search begins with, and `search` compares them by
cosine. `retrieval` puts these together. `docs/retrieval.md` describes the rules.
"""

from cmcgan_core.inference.retrieve.embedding import load_embedder
from cmcgan_core.inference.retrieve.gallery import Gallery, find_gallery
from cmcgan_core.inference.retrieve.retrieval import Hit, IndexReport, Retrieval, Retrieved, retrieve

__all__ = ["Gallery", "Hit", "IndexReport", "Retrieval", "Retrieved", "find_gallery", "load_embedder", "retrieve"]
