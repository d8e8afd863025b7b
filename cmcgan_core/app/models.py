"""The models that can be chosen; the one that was used last is kept in memory."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cmcgan_core.errors import CheckpointError
from cmcgan_core.run_folder import BOX, RunFolder, newest_runs

if TYPE_CHECKING:
    from cmcgan_core.checkpoint import Trained
    from cmcgan_core.inference.model import Model


class Models:
    """The runs in `runs/`, the model that ships with cmcgan, and a checkpoint that the user named.

    Args:
        default: the checkpoint that is listed first.
        device: where to put the networks, see `choose_device`.
    """

    def __init__(self, default: Path, device: str) -> None:
        self._default = default
        self._device = device
        self._loaded: tuple[Path, int, Model] | None = None

    def names(self) -> list[str]:
        """Return the names of the models. Runs that were trained since the start of the page are among them."""
        return list(self._files())

    def load(self, name: str) -> "Model":
        """Return a model. It is read again if its file has changed.

        Raises:
            CheckpointError: there is no model with this name, or it cannot be read.
        """
        # The page lists the models without these imports, which take seconds.
        from cmcgan_core.inference.model import load

        file = self._files().get(name)
        if file is None:
            raise CheckpointError(f"{name} is none of the models; reload the page to see which there are")
        written = file.stat().st_mtime_ns
        if self._loaded is None or self._loaded[:2] != (file, written):
            self._loaded = None  # two models never are in memory at once
            self._loaded = (file, written, load(file, self._device))
        return self._loaded[2]

    @cached_property
    def embedder(self) -> "Trained":
        """The network that `cmcgan retrieve` uses by default."""
        from cmcgan_core.inference.retrieve.embedding import load_embedder
        from cmcgan_core.utils.device import choose_device

        return load_embedder(None, choose_device(self._device))

    def _files(self) -> dict[str, Path]:
        """Return the checkpoints by name: the default one, the runs in `runs/` from the newest on, and "box"."""
        files = {file.parent.name: file for file in newest_runs()} | {"box": RunFolder(BOX).last}
        default = next((name for name, file in files.items() if file == self._default), str(self._default))
        return {default: self._default} | files
