"""Pages of the documentation site that are not files in docs/, and links to files outside of docs/.

`mkdocs build` calls the functions `on_files` and `on_page_markdown`; see `hooks` in mkdocs.yml.
"""

import json
import posixpath
import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import cmcgan_core

ROOT = Path(__file__).parents[1]

#: Files and folders outside of docs/ that have a page, and the page. A link to one of them leads to the page.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "cmcgan_core/box/README.md": "model-card.md",
    "cmcgan_core/presets": "reference/presets.md",
    "examples": "examples/scripts.md",
    "examples/notebooks/use_a_model.ipynb": "examples/use_a_model.md",
    "examples/notebooks/train_your_own.ipynb": "examples/train_your_own.md",
    "examples/notebooks/reproduce_a_table.ipynb": "examples/reproduce_a_table.md",
    "plugins/cmcgan-residual": "examples/cmcgan-residual.md",
    "plugins/cmcgan-tones": "examples/cmcgan-tones.md",
}
SOURCES = {page: source for source, page in PAGES.items()}

#: Pages of the Python reference: title, and the parts of `cmcgan_core` whose public names are on the page.
REFERENCE = {
    "use": ("Python: use a model", ("inference", "checkpoint", "run_folder", "tour")),
    "data": ("Python: data", ("data", "features", "modality")),
    "training": ("Python: training", ("config", "methods", "training")),
    "networks": ("Python: networks", ("nn",)),
    "evaluation": ("Python: evaluation", ("evaluation", "experiments", "reports")),
    "errors": ("Python: errors and progress", ("errors", "progress")),
}

#: A link to a file: the path, and the anchor if there is one.
LINK = re.compile(r"\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")
#: The languages of code blocks in a page of source files, by suffix.
LANGUAGES = {".py": "python", ".sh": "sh", ".toml": "toml"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not files in docs/.

    Raises:
        PluginError: a public name is on no page of the Python reference.
    """
    parts = {part for _, parts in REFERENCE.values() for part in parts}
    if missing := {module.partition(".")[0] for module in cmcgan_core._PUBLIC.values()} - parts:
        raise PluginError(f"docs/hooks.py: add {', '.join(sorted(missing))} to REFERENCE")
    pages = {page: page_of(ROOT / source) for source, page in PAGES.items()}
    pages["reference/commands.md"] = commands_page()
    pages |= {f"reference/{name}.md": reference_page(*about) for name, about in REFERENCE.items()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Change links between files of the repository to links between pages of the site."""
    here = page.file.src_uri
    source = SOURCES.get(here, f"docs/{here}")

    def mend(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link["path"]))
        target, anchor = target_of(path)
        if target is None:
            return link[0]  # MkDocs warns of it.
        return f"]({posixpath.relpath(target, posixpath.dirname(here))}{link['anchor'] or anchor})"

    # Tests call code blocks by a word after the language, which MkDocs cannot read.
    markdown = re.sub(r"^```(\w+) \w+$", r"```\1", markdown, flags=re.MULTILINE)
    return LINK.sub(mend, markdown)


def target_of(path: str) -> tuple[str | None, str]:
    """Return the page that shows a file or a folder of the repository, or None, and the anchor on the page."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/"), ""
    if path in PAGES:
        return PAGES[path], ""
    folder = next((str(parent) for parent in Path(path).parents if str(parent) in PAGES), None)
    if folder is None or not (ROOT / path).is_file():
        return None, ""
    return PAGES[folder], f"#{anchor_of(posixpath.relpath(path, folder))}"


def anchor_of(name: str) -> str:
    """Return the anchor of a file on the page of its folder."""
    return re.sub(r"\W+", "-", name)


def page_of(path: Path) -> str:
    """Return the text of the page of a file or a folder."""
    if path.is_dir():
        return folder_page(path)
    text = path.read_text(encoding="utf-8")
    return notebook_page(path.name, text) if path.suffix == ".ipynb" else text


def folder_page(folder: Path) -> str:
    """Return a page with all source files of a folder."""
    parts = [f"# {folder.relative_to(ROOT).as_posix()}"]
    for file in sorted(file for file in folder.rglob("*") if file.suffix in LANGUAGES):
        name = file.relative_to(folder).as_posix()
        parts.append(f"## `{name}` {{ #{anchor_of(name)} }}")
        parts.append(f"````{LANGUAGES[file.suffix]}\n{file.read_text(encoding='utf-8')}````")
    return "\n\n".join(parts)


def notebook_page(name: str, text: str) -> str:
    """Return a notebook, whose outputs are not stored, as a page."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    parts.insert(1, f"This page is the notebook `examples/notebooks/{name}` without its results.")
    return "\n\n".join(parts)


def commands_page() -> str:
    """Return the help of all commands."""
    command = [sys.executable, "-m", "typer", "cmcgan_cli.app", "utils", "docs", "--name", "cmcgan"]
    text = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    text = text[text.index("\n## ") :]
    # Typer shortens the sentences of this list; the sections below it have the whole ones.
    text = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", text)
    text = re.sub(r"^(  cmcgan .*\n\n?)+", lambda lines: code_block(lines[0]), text, flags=re.MULTILINE)
    return f"# Command line\n\nThis page is what `cmcgan COMMAND --help` prints.\n{text}"


def code_block(lines: str) -> str:
    """Return indented command lines as a code block."""
    return "```sh\n" + "\n".join(line.strip() for line in lines.splitlines() if line) + "\n```\n\n"


def reference_page(title: str, parts: tuple[str, ...]) -> str:
    """Return a page with all public names of some parts of `cmcgan_core`."""
    modules = [module for module in cmcgan_core._PUBLIC.items() if module[1].partition(".")[0] in parts]
    entries = [f"::: cmcgan_core.{module}.{name}" for name, module in modules]
    return "\n\n".join([f"# {title}", "Import these names from `cmcgan_core`.", *entries])
