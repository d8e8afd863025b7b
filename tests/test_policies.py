"""Rules that the whole code follows."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "cmcgan_core").rglob("*.py"))


def imports(file: Path) -> list[str]:
    """Return the names of the modules that a file imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("file", CORE, ids=module_of)
def test_the_core_does_not_import_the_command_line(file: Path) -> None:
    for name in imports(file):
        assert name.split(".")[0] not in ("typer", "rich", "cmcgan_cli"), name


def test_every_folder_imports_only_from_the_layers_below_it() -> None:
    """The contracts are in pyproject.toml; docs/architecture.md describes them."""
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("file", CORE, ids=module_of)
def test_the_core_never_prints_and_never_exits(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("print", "exit", "sys.exit"), node.lineno


@pytest.mark.parametrize("file", sorted((ROOT / "plugins").rglob("*.py")), ids=lambda file: file.stem)
def test_plugins_use_public_names_only(file: Path) -> None:
    import cmcgan_core

    for name in imports(file):
        assert not name.startswith("cmcgan_cli")
        if name.startswith("cmcgan_core."):
            assert name.removeprefix("cmcgan_core.") in cmcgan_core.__all__


def test_every_public_name_exists() -> None:
    import cmcgan_core

    for name in cmcgan_core.__all__:
        assert getattr(cmcgan_core, name) is not None
    with pytest.raises(AttributeError):
        cmcgan_core.nonsense  # noqa: B018


def test_training_needs_no_media_library(prepared: Path, tmp_path: Path) -> None:
    blocked = ["av", "soundfile", "librosa", "torchaudio", "PIL", "jinja2", "tensorboard", "scipy"]
    code = f"""
import sys
from importlib.machinery import PathFinder
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in {blocked} else find(name, *rest)
import torch
sys.meta_path.insert(0, Blocker())
sys.argv = ["cmcgan", "train", {str(prepared)!r}, "--preset", "tiny", "--set", "train.steps=3", "--quiet"]
sys.argv += ["--out", {str(tmp_path / "run")!r}]
from cmcgan_cli.app import main
main()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run" / "last.safetensors").exists()


def commands_of(file: Path) -> list[str]:
    """Return the `cmcgan` commands in the code blocks of a Markdown file, or in a shell script."""
    text = file.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, flags=re.DOTALL) if file.suffix == ".md" else [text]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [
        match for line in lines for match in re.findall(r"(?:^|&& |\$ |\| )(?:uv run )?(cmcgan [a-z][^|>#&]*)", line)
    ]


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*.sh"))]


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_documented_commands_and_options_exist(file: Path) -> None:
    import typer

    from cmcgan_cli.app import app

    known = typer.main.get_command(app)
    for line in commands_of(file):
        name, *rest = line.split()[1:]
        command = known.commands.get(name)
        if command is None:  # a command of a plugin
            assert name == "parameters", line
            continue
        while rest and rest[0] in getattr(command, "commands", {}):
            command = command.commands[rest.pop(0)]
        options = {option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]}
        for word in rest:
            if word.startswith("-") and not re.fullmatch(r"-?[\d.]+", word):
                assert word.split("=")[0] in {*options, "--help"}, f"{word} in: {line}"


def test_arguments_have_capital_names() -> None:
    import typer

    from cmcgan_cli.app import app

    commands = typer.main.get_command(app).commands.values()
    leaves = [leaf for command in commands for leaf in getattr(command, "commands", {"": command}).values()]
    names = [p.metavar or p.name for leaf in leaves for p in leaf.params if p.param_type_name == "argument"]
    assert "DATA" in names
    assert [name for name in names if name != name.upper()] == []


def test_readme_has_the_two_set_up_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install uv && uv run cmcgan demo" in text
    assert "pip install uv && uv run pytest" in text


def test_nothing_committed_names_a_download_host() -> None:
    assert "uv.lock" in (ROOT / ".gitignore").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "index" not in project["tool"]["uv"]


SOURCES = [f for folder in ("cmcgan_core", "cmcgan_cli", "plugins") for f in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_functions_stay_small(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert length <= 60, f"{node.name} has {length} lines"
