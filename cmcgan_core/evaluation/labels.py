"""The words that tables, pages and sheets use for the parts of an evaluation. Labels of metrics are in `METRICS`."""

from cmcgan_core.evaluation.paper import share_of_schedule
from cmcgan_core.modality import Modality
from cmcgan_core.run_folder import About

#: The samples of a direction: by number of hops, generated ones; "real", the real ones of the target modality.
KINDS = {"1": "direct", "2": "two hops", "real": "real"}
#: The smallest number of samples that a Fréchet distance of the judge's 64 codes needs.
FEWEST_FOR_FRECHET = 500
#: The kind of the real samples.
REAL = "real"


def kind_label(kind: str) -> str:
    """Return the words for a kind of samples: a number of hops, or "real"."""
    return KINDS.get(kind, f"{kind} hops")


def few_samples_note(pairs: int) -> str:
    """Return a sentence if a split has too few pairs for Fréchet distances; otherwise ""."""
    if pairs >= FEWEST_FOR_FRECHET:
        return ""
    return f"Fréchet distances are too large and vary a lot: they need at least {FEWEST_FOR_FRECHET} pairs."


def recovery_label(hops: str, modality: Modality) -> str:
    """Return the name in CMCGAN's Figure 1 of recovered samples, by number of hops, such as "RF_Image"."""
    return f"{'R' if hops == '1' else 'RF'}_{'Image' if modality is Modality.VISUAL else 'Sound'}"


def schedule_label(about: About) -> str:
    """Return the share of CMCGAN's printed training that a run had, such as "0.45 %"; "" for other methods."""
    share = share_of_schedule(about)
    return "" if share is None else f"{100 * share:.2g} %"


def plural(modality: Modality) -> str:
    """Return "sounds" or "pictures"."""
    return f"{modality.word}s"
