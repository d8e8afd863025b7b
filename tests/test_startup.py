"""Commands that only look at arguments, files and settings answer without the packages that import slowly."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: Packages that take a large part of a second to import, or more.
HEAVY = ("torch", "torchaudio", "librosa", "scipy", "sklearn", "starlette", "matplotlib")
#: Runs a command and prints its exit code and the heavy packages that it imported.
PROGRAM = """
import json, sys
from cmcgan_cli.app import main
heavy = sys.argv.pop(1).split(",")
try:
    main()
    code = 0
except SystemExit as end:
    code = end.code
json.dump([code, sorted(set(heavy) & set(sys.modules))], open("report.json", "w"))
"""


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("--help", 0, "Usage"),
        ("generate missing.wav", 1, "missing.wav: no such file"),
        ("generate missing.jpg --json", 1, "missing.jpg: no such file"),
        ("generate sound.wav --dry-run", 0, "sound.wav -> sound.png"),
        ("generate sound.wav -c missing", 1, "missing does not exist"),
        ("generate done.wav -c box", 0, "done.wav: its results exist already"),
        ("classify missing.wav", 1, "missing.wav: no such file"),
        ("retrieve missing.wav --in .", 1, "missing.wav: no such file"),
        ("retrieve sound.wav --in . -c missing", 1, "missing does not exist"),
        ("train DATA --preset smal", 1, "did you mean small?"),
        ("train DATA --set train.epoch=3", 1, "did you mean epochs?"),
        ("train missing", 1, "missing is not a prepared dataset"),
        ("train --resume missing", 1, "missing is not a run"),
        ("prepare missing", 1, "missing"),
        ("prepare . --source sub-urm", 1, "sub-urmp"),
        ("prepare classes --dry-run", 0, "recordings"),
        ("prepare demo --dry-run", 0, "recordings"),
        ("prepare demo --scheduler nowhere", 1, "no scheduler answers at nowhere"),
        ("generate sound.wav --scheduler nowhere", 1, "no scheduler answers at nowhere"),
        ("classify sound.wav --scheduler nowhere", 1, "no scheduler answers at nowhere"),
        ("evaluate DATA -c missing", 1, "missing does not exist"),
        ("evaluate missing -c box", 1, "missing is not a prepared dataset"),
        ("compare DATA missing", 1, "missing does not exist"),
        ("study DATA rival", 1, "did you mean rivals?"),
        ("export --direction a2v -c missing", 1, "missing does not exist"),
        ("export-data missing out --to webdataset", 1, "missing is not a prepared dataset"),
        ("export-data DATA out --to webdataset --dry-run", 0, "48 pairs in 1 file"),
        ("app -c missing", 1, "missing does not exist"),
        ("human-eval create DATA --model missing", 1, "missing does not exist"),
        ("demo --from missing.wav", 2, "missing.wav"),
        ("plugins", 0, "residual"),
    ],
)
def test_a_command_that_computes_nothing_imports_no_heavy_package(
    command: str, code: int, said: str, prepared: Path, tmp_path: Path
) -> None:
    write_inputs(tmp_path)
    words = [str(prepared) if word == "DATA" else word for word in command.split()]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ",".join(HEAVY), *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert said in done.stdout + done.stderr
    assert json.loads((tmp_path / "report.json").read_text()) == [code, []]


def write_inputs(folder: Path) -> None:
    """Write a sound, and a folder of pairs by class."""
    import numpy as np
    import soundfile
    from PIL import Image

    tone = np.sin(np.arange(44_100) / 20)
    soundfile.write(folder / "sound.wav", tone, 44_100)
    soundfile.write(folder / "done.wav", tone, 44_100)
    Image.new("RGB", (64, 64)).save(folder / "done.png")
    (folder / "classes/violin").mkdir(parents=True)
    soundfile.write(folder / "classes/violin/a.wav", tone, 44_100)
    Image.new("RGB", (64, 64)).save(folder / "classes/violin/a.png")
