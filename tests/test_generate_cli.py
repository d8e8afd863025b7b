import subprocess
import sys

import pytest
from conftest import Run

from cmcgan_core.inference.routes import FORMATS, Format
from cmcgan_core.modality import Modality


@pytest.mark.parametrize(("option", "choices"), [("--to", Modality), ("--format", Format)])
def test_an_unknown_choice_is_a_wrong_command_line(cmcgan: Run, option: str, choices: type[Modality | Format]) -> None:
    code, out, err = cmcgan("generate", "--from", "a.wav", option, "unknown")
    assert (code, out) == (2, "")
    assert f"Invalid value for '{option}'" in err
    assert all(repr(str(choice)) in err for choice in choices)


def test_every_format_belongs_to_a_route() -> None:
    assert {name for formats in FORMATS.values() for name in formats} == set(Format)


@pytest.mark.parametrize("command", ["generate", "classify", "export"])
def test_help_imports_no_heavy_package(command: str) -> None:
    code = (
        f"import sys; sys.argv = ['cmcgan', '{command}', '--help']\nfrom cmcgan_cli.app import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'torchaudio', 'librosa', 'av', 'soundfile', 'PIL', 'numpy') "
        "if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"
