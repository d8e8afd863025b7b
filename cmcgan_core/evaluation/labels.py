"""The words that tables, pages and sheets use for the parts of an evaluation. Labels of metrics are in `METRICS`."""

from cmcgan_core.modality import Modality

#: The samples of a direction: by number of hops, generated ones; "real", the real ones of the target modality.
KINDS = {"1": "direct", "2": "two hops", "real": "real"}
#: The kind of the real samples.
REAL = "real"


def kind_label(kind: str) -> str:
    """Return the words for a kind of samples: a number of hops, or "real"."""
    return KINDS.get(kind, f"{kind} hops")


def recovery_label(hops: str, modality: Modality) -> str:
    """Return the name in CMCGAN's Figure 1 of recovered samples, by number of hops, such as "RF_Image"."""
    return f"{'R' if hops == '1' else 'RF'}_{'Image' if modality is Modality.VISUAL else 'Sound'}"


def plural(modality: Modality) -> str:
    """Return "sounds" or "pictures"."""
    return f"{modality.word}s"
