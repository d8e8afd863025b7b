"""Which files of a folder belong to a run."""

from pathlib import Path

from cmcgan_core.utils.files import LOCK_NAME, TEMPORARY_SUFFIX

#: Names of the files that a new run in the same folder removes, as patterns.
REPLACED = (
    "last.safetensors",
    "best.safetensors",
    "classifier.safetensors",
    ".*.safetensors.*.tmp",
    "metrics.jsonl",
    "samples/epoch_*.png",
    "events.out.tfevents.*",
    "loggers.toml",
    "profile/trace.json.gz",
    "profile/operations.txt",
)
#: Names of all other files that belong to a run.
KEPT = ("config.toml", "run.toml", LOCK_NAME, f".*{TEMPORARY_SUFFIX}", "wandb/**/*")
#: The run's own folder, and those of the classifiers that are trained for it.
FOLDERS = ("", "classifier/", "concatenated/")


def replaced_files(folder: Path) -> set[Path]:
    """Return the files of an older run, which a new run in the same folder removes."""
    return {file for place in FOLDERS for name in REPLACED for file in folder.glob(place + name)}


def foreign_files(folder: Path) -> list[Path]:
    """Return the files below the folder of a run that do not belong to the run, sorted."""
    own = {file for place in FOLDERS for name in (*REPLACED, *KEPT) for file in folder.glob(place + name)}
    return sorted(file for file in folder.rglob("*") if file not in own and (file.is_symlink() or not file.is_dir()))
