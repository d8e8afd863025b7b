"""The texts of pages: one TOML file for each language, in the folder `text` of a website's package."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cmcgan_core.utils.toml import read_toml


@dataclass(frozen=True)
class PageTexts:
    """The texts of a website.

    Attributes:
        package: folder of the website's package.
    """

    package: Path

    def languages(self) -> list[str]:
        """Return the codes of all languages that the pages are available in."""
        return sorted(file.stem for file in (self.package / "text").glob("*.toml"))

    def read(self, language: str) -> dict[str, Any]:
        """Return all texts of the pages in one language, nested by page; each file is read once."""
        return _read_once(self.package / "text" / f"{language}.toml")


@cache
def _read_once(file: Path) -> dict[str, Any]:
    return read_toml(file)
