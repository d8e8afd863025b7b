"""Import packages that may be missing or incompatible, and say how to repair them."""

import importlib
import importlib.metadata
from types import ModuleType

from cmcgan_core.errors import ConfigError
from cmcgan_core.utils.files import error_reason

#: The command that installs a torch and a torchaudio that fit each other.
TORCH_REPAIR_COMMAND = 'pip install --force-reinstall "torch>=2.11,<2.14" "torchaudio>=2.11,<2.12"'


def import_torchaudio(module: str = "torchaudio") -> ModuleType:
    """Import torchaudio, which only the MFCC and STFT representations need.

    Args:
        module: torchaudio or one of its submodules.

    Raises:
        ConfigError: torchaudio is missing or does not work with the installed torch.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigError(
            f"torchaudio {package_version('torchaudio')} does not work with torch {package_version('torch')} "
            f"({error_reason(error).splitlines()[0]}); fix it with: {TORCH_REPAIR_COMMAND}"
        ) from error


def import_librosa() -> ModuleType:
    """Import librosa, which only the CQT representation needs.

    Raises:
        ConfigError: its compiler, numba, can write its results neither next to librosa nor into the user's cache.
    """
    librosa = importlib.import_module("librosa")
    try:
        _ = librosa.cqt  # the part that is compiled is imported at its first use
    except RuntimeError as error:
        raise ConfigError(
            f"librosa cannot be used ({error_reason(error)}); give its compiler a folder that can be written: "
            "export NUMBA_CACHE_DIR=FOLDER"
        ) from error
    return librosa


def package_version(name: str) -> str:
    """Return the version of an installed package, or "(not installed)"."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
