"""."""

import importlib
import importlib.util
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from cmcgan_core.errors import ConfigError


def import_torchaudio() -> ModuleType:
    """Torchaudio, for the parts that need it; nothing on the default path does.

    Raises:
        ConfigError: it is missing, or was built for another torch.
    """
    try:
        return importlib.import_module("torchaudio")
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigError(
            f"torchaudio {_version('torchaudio')} does not work with torch {_version('torch')} "
            f"({str(error).splitlines()[0]}); mend it with: {_TORCH_MEND}"
        ) from error


_TORCH_MEND = 'pip install --force-reinstall "torch>=2.11,<2.14" "torchaudio>=2.11,<2.12"'


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"
