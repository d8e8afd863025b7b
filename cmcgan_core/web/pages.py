"""Jinja templates: those that all websites share, and those of one website's package."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

#: Folder with the shared templates.
SHARED = Path(__file__).parent


def make_environment(package: Path) -> Environment:
    """Return the Jinja environment of a website.

    Args:
        package: folder of its package, with its `templates`.
    """
    return Environment(
        loader=FileSystemLoader([package / "templates", SHARED / "templates"]),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
