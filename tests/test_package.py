"""The files of the wheel, of the sdist and of the container, and how to cite. `.ci/run` installs and uses the wheel."""

import re
from pathlib import Path

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from cmcgan_core import __version__

ROOT = Path(__file__).parents[1]
#: The files of both packages in the repository, as POSIX paths.
FILES = {
    file.relative_to(ROOT).as_posix()
    for package in ("cmcgan_cli", "cmcgan_core")
    for file in (ROOT / package).rglob("*")
    if file.is_file() and file.suffix != ".pyc"
}


def test_the_wheel_has_all_files_of_both_packages_and_nothing_else() -> None:
    packed = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert packed == FILES


def test_the_sdist_has_the_files_of_the_wheel_and_its_texts() -> None:
    packed = {file.distribution_path for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    assert packed == {*FILES, "README.md", "LICENSE"}


def test_the_container_is_built_from_the_files_of_the_sdist() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    packed = {Path(file.distribution_path).parts[0] for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == {*packed, "pyproject.toml"}


def test_the_citation_names_this_version() -> None:
    assert re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), flags=re.MULTILINE) == [__version__]
