"""The website: the page, uploads, the state of jobs as pieces of HTML, and downloads.

A visitor sends a file as the body of a request, and the order as JSON in its address. The answer is the card of the new
job, which the script of the page shows and requests again until the job has ended. There is no list of all jobs: a
visitor sees those whose random names the browser tab has kept.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from zipfile import ZipFile

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from cmcgan_core.app.jobs import MAX_KEPT, Job, JobQueue, QueueFullError
from cmcgan_core.app.models import Models
from cmcgan_core.app.orders import LENGTHS, MAX_SAMPLES, Action, Order
from cmcgan_core.errors import CmcganError
from cmcgan_core.media.files import SUFFIXES, media_kind
from cmcgan_core.utils.schema import build, parse_json
from cmcgan_core.web.connections import LimitedProtocol
from cmcgan_core.web.guard import SECURITY_HEADERS, AllowedHosts, SecurityHeaders, check_origin, limited_body
from cmcgan_core.web.pages import make_environment
from cmcgan_core.web.static_files import find_static_files, send_static
from cmcgan_core.web.texts import PageTexts

PACKAGE = Path(__file__).parent
PAGE_TEXTS = PageTexts(PACKAGE)
ENVIRONMENT = make_environment(PACKAGE)
STATIC_FILES = find_static_files(PACKAGE)
#: Largest file that can be sent, bytes.
MAX_UPLOAD_BYTES = 256 * 2**20
#: Headers of all responses: the page shows files before they are sent, and records sound.
HEADERS = SECURITY_HEADERS | {
    "Content-Security-Policy": SECURITY_HEADERS["Content-Security-Policy"]
    .replace("img-src 'self'", "img-src 'self' blob:")
    .replace("media-src 'self'", "media-src 'self' blob:"),
    "Permissions-Policy": "camera=(), microphone=(self), geolocation=()",
}


class UploadProtocol(LimitedProtocol):
    """A connection with enough time to send a large file."""

    request_seconds = 300


@dataclass(frozen=True)
class Site:
    """The website.

    Attributes:
        queue: does the jobs.
        models: the models that can be chosen.
        searching: whether the page offers to search a folder.
    """

    queue: JobQueue
    models: Models
    searching: bool

    def routes(self) -> list[Route]:
        """Return the routes of all pages."""
        return [
            Route("/", self.home),
            Route("/static/{name}", self.static),
            Route("/jobs", self.submit, methods=["POST"]),
            Route("/jobs/{id}", self.card),
            Route("/jobs/{id}/cancel", self.cancel, methods=["POST"]),
            Route("/jobs/{id}/files/{number:int}", self.file),
            Route("/jobs/{id}/all.zip", self.archive),
        ]

    def home(self, request: Request) -> Response:
        """Show the page."""
        return self._render(
            request,
            "home.html",
            languages=[(code, PAGE_TEXTS.read(code)["language"]) for code in PAGE_TEXTS.languages()],
            models=self.models.names(),
            actions=[action for action in Action if action is not Action.RETRIEVE or self.searching],
            suffixes=json.dumps(SUFFIXES),
            accept=",".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes),
            lengths=LENGTHS,
            max_samples=MAX_SAMPLES,
            max_upload=MAX_UPLOAD_BYTES,
            kept=MAX_KEPT,
        )

    def static(self, request: Request) -> Response:
        """Send a static file."""
        return send_static(STATIC_FILES, request.path_params["name"])

    async def submit(self, request: Request) -> Response:
        """Put an order into the queue, and show its card."""
        check_origin(request)
        order = _read_order(request.query_params.get("order", ""))
        if order.action is Action.RETRIEVE and not self.searching:
            raise HTTPException(400)
        try:
            job = self.queue.reserve(order)
        except QueueFullError as error:
            raise HTTPException(503) from error
        await self._receive(request, job)
        self.queue.start(job)
        return self._render_card(request, job)

    def card(self, request: Request) -> Response:
        """Show a job."""
        return self._render_card(request, self._find(request))

    async def cancel(self, request: Request) -> Response:
        """Cancel a job, and show its card."""
        check_origin(request)
        job = self._find(request)
        self.queue.cancel(job)
        return self._render_card(request, job)

    def file(self, request: Request) -> Response:
        """Send a file of a job."""
        number, files = request.path_params["number"], self._find(request).files
        if number >= len(files) or not files[number].is_file():
            raise HTTPException(404)
        return FileResponse(files[number])

    def archive(self, request: Request) -> Response:
        """Send all files of a job as one archive."""
        folder = self._find(request).folder
        with NamedTemporaryFile(dir=folder.parent, suffix=".zip", delete=False) as file, ZipFile(file, "w") as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(folder))
        return FileResponse(file.name, background=BackgroundTask(Path(file.name).unlink))

    async def error(self, request: Request, failure: Exception) -> Response:
        """Say what is wrong, as plain text, which the script of the page shows."""
        status, detail = (failure.status_code, failure.detail) if isinstance(failure, HTTPException) else (500, "")
        text = PAGE_TEXTS.read(_language(request))["error"]
        return PlainTextResponse(detail if status == 422 else text.get(str(status), text["400"]), status)

    async def _receive(self, request: Request, job: Job) -> None:
        """Write the body of a request to the source of a job; discard the job if it does not arrive."""
        try:
            with job.source.open("wb") as file:
                async for part in limited_body(request, MAX_UPLOAD_BYTES):
                    await run_in_threadpool(file.write, part)
        except BaseException as error:
            self.queue.discard(job)
            if isinstance(error, OSError):
                raise HTTPException(507) from error
            raise

    def _find(self, request: Request) -> Job:
        job = self.queue.find(request.path_params["id"])
        if job is None:
            raise HTTPException(404)
        return job

    def _render_card(self, request: Request, job: Job) -> Response:
        return self._render(request, "card.html", job=job, before=self.queue.count_before(job), media_kind=media_kind)

    def _render(self, request: Request, template: str, **values: object) -> Response:
        language = _language(request)
        html = ENVIRONMENT.get_template(template).render(t=PAGE_TEXTS.read(language), language=language, **values)
        return HTMLResponse(html)


def make_app(queue: JobQueue, models: Models, hosts: frozenset[str], *, searching: bool) -> ASGIApp:
    """Return the website as an ASGI application.

    Args:
        queue: does the jobs.
        models: the models that can be chosen.
        hosts: host names, in lower case, under which it may be requested; see `AllowedHosts`.
        searching: whether the page offers to search a folder.
    """
    site = Site(queue, models, searching)
    handlers: Mapping[object, object] = dict.fromkeys((HTTPException, Exception), site.error)
    app = Starlette(routes=site.routes(), exception_handlers=handlers)  # type: ignore[arg-type]
    return SecurityHeaders(AllowedHosts(app, hosts), HEADERS)


def _read_order(text: str) -> Order:
    """Return an order that was sent as JSON.

    Raises:
        HTTPException: 422, it is not valid; the detail says why.
    """
    try:
        return build(Order, parse_json(text), "the order")
    except (CmcganError, ValueError) as error:
        raise HTTPException(422, str(error)) from error


def _language(request: Request) -> str:
    """Return the language of a request: of its address, or else the first of the browser's that the pages have."""
    accepted = request.headers.get("accept-language", "").split(",")
    wanted = (request.query_params.get("language", ""), *(tag.strip()[:2].lower() for tag in accepted))
    known = PAGE_TEXTS.languages()
    return next((code for code in wanted if code in known), "en")
