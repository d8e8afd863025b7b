"""Static files: those that all websites share, and those of one website's package."""

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

#: Folder with the shared static files.
SHARED = Path(__file__).parent


def find_static_files(package: Path) -> dict[str, Path]:
    """Return the style sheets, scripts and icons of a website, by file name.

    Args:
        package: folder of its package, with its files in `static`.
    """
    return {path.name: path for folder in (SHARED, package) for path in (folder / "static").iterdir()}


def send_static(files: dict[str, Path], name: str) -> Response:
    """Send a static file.

    Raises:
        HTTPException: 404, there is none with this name.
    """
    if name not in files:
        raise HTTPException(404)
    return FileResponse(files[name], headers={"Cache-Control": "public, max-age=3600"})
