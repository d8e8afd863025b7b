"""The notebooks run, with small settings, and are stored without outputs."""

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import cmcgan_core

#: As in the fixture of the same name: turning spectrograms into sound takes long.
FEW_SOUNDS = "import cmcgan_core.evaluation.waveforms as waveforms; waveforms.PAIRS = 2"
NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples" / "notebooks").glob("*.ipynb"))

#: Runs the notebook of a name with other parameters, and returns what it prints.
Execute = Callable[..., str]


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Execute:
    """Run notebooks in an empty folder."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "work").mkdir()

    def run(name: str, **parameters: object) -> str:
        (file,) = (file for file in NOTEBOOKS if file.stem == name)
        notebook = nbformat.read(file, as_version=4)
        (place,) = (n for n, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
        changes = "\n".join([FEW_SOUNDS, *(f"{key} = {value!r}" for key, value in parameters.items())])
        notebook.cells.insert(place + 1, nbformat.v4.new_code_cell(changes))
        NotebookClient(notebook, timeout=None, resources={"metadata": {"path": tmp_path / "work"}}).execute()
        outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
        return "".join(output.text for output in outputs if output.get("name") == "stdout")

    return run


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_stored_without_outputs(file: Path) -> None:
    for cell in nbformat.read(file, as_version=4).cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.source


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_uses_public_names_only(file: Path) -> None:
    cells = nbformat.read(file, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code" and not cell.source.startswith("!"))
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "cmcgan":
            assert node.attr in cmcgan_core.__all__


def test_use_a_model(execute: Execute) -> None:
    output = execute("use_a_model", INSTRUMENT="cello")
    for name in ("real sound", "real picture", "generated sound"):
        assert f"{name}: cello" in output
    assert re.search(r"noise: .*, unlike the training data", output)


@pytest.mark.slow
def test_train_your_own(execute: Execute) -> None:
    output = execute("train_your_own", INSTRUMENTS=["flute", "tuba"], PAIRS=20, PRESET="tiny", STEPS=3)
    assert re.findall(r"(\w+) is recognised as", output) == ["flute", "tuba"]
    assert re.findall(r"(\w+): [\d.]+; by chance 0\.50", output) == ["S2I", "I2S"]


@pytest.mark.slow
def test_reproduce_a_table(execute: Execute) -> None:
    output = execute("reproduce_a_table", PAIRS=52, PRESET="tiny", SECONDS=0.5, SEEDS=[0, 1])
    assert re.findall(r"^(.*), \d+ steps$", output, flags=re.MULTILINE) == ["CMCGAN", "CMCGAN, no class losses"]
    assert len(re.findall(r"(?:S2I|I2S): \d\.\d{3} .*\[", output)) == 4
