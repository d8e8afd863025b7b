"""The files of the wheel and of the sdist. `.ci/run` builds, installs and uses them."""

from pathlib import Path

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

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
