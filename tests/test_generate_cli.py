import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Run
from media_fixtures import plain, write_jpg

from cmcgan_core.inference.routes import FORMATS, Format
from cmcgan_core.media.files import read_sound
from cmcgan_core.modality import Modality


@pytest.mark.parametrize(("option", "choices"), [("--to", Modality), ("--format", Format)])
def test_an_unknown_choice_is_a_wrong_command_line(cmcgan: Run, option: str, choices: type[Modality | Format]) -> None:
    code, out, err = cmcgan("generate", "--from", "a.wav", option, "unknown")
    assert (code, out) == (2, "")
    assert f"Invalid value for '{option}'" in err
    assert all(repr(str(choice)) in err for choice in choices)


def test_the_name_of_a_sound_chooses_its_format(cmcgan: Run, tmp_path: Path) -> None:
    picture = write_jpg(tmp_path / "a.jpg", plain((200, 0, 0)))
    for name in ("b.mp3", "b.wma"):
        code, out, err = cmcgan("generate", picture, "--out", tmp_path / name, "--checkpoint", "box")
        if name == "b.mp3":
            assert out.splitlines()[0] == f"{tmp_path}/b.mp3"
            assert len(read_sound(tmp_path / "b.mp3", 44_100)) == 22_050
        else:
            assert (code, "wma files cannot be made; possible formats: png" in err) == (1, True)


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
