"""The website of a study: the raters' pages and the admin pages.

A rater sees the consent form, the volume check, the training page, one item at a time, and a page of thanks. All pages
work without JavaScript; `static/rate.js` adds keyboard control, preloading and response times.

An answer is a plain HTML form. The server stores it on disk before it redirects the browser. If the browser sends the
same form again after a crash, the server ignores it.

`Site` has the public pages, and what all pages share. `RaterPages` has the pages behind a personal link, `AdminPages`
the progress page and the downloads. `make_app` combines them into one application.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from cmcgan_core.human_eval import pages
from cmcgan_core.human_eval.export import EXPORT_FORMATS, export_answers
from cmcgan_core.human_eval.guard import (
    ADMIN_COOKIE,
    ADMIN_SECONDS,
    VISITOR_COOKIE,
    Access,
    Guard,
    set_cookie,
    visitor_id,
)
from cmcgan_core.human_eval.store import Rater, RatingTask, Store
from cmcgan_core.human_eval.study import PAGE_TEXTS, RatingStudy
from cmcgan_core.human_eval.summary import summarise_models_so_far
from cmcgan_core.web.guard import SECURITY_HEADERS, AllowedHosts, SecurityHeaders, client_address
from cmcgan_core.web.static_files import find_static_files, send_static

#: Style sheets, script and icon of the pages, by file name.
STATIC_FILES = find_static_files(Path(__file__).parent)
#: Time for which a visitor's pages stay valid, seconds.
VISITOR_SECONDS = 90 * 86_400
#: Longest response time that is recorded, seconds. A longer one means that the page was left open.
MAX_RESPONSE_SECONDS = 86_400.0
#: Largest number of replays that is recorded for one answer.
MAX_REPLAYS = 1000

RaterPage = Callable[[Request, Rater], Response]
RaterForm = Callable[[Request, Rater, Mapping[str, str]], Response]


class Site:
    """The public pages of a study, and what all of its pages share.

    Args:
        study: the study folder.
        store: its database.
        access: accepted secrets and host names.
    """

    def __init__(self, study: RatingStudy, store: Store, access: Access) -> None:
        self.study = study
        self.store = store
        self.guard = Guard(access, store.secret("forms"))

    def render(self, request: Request, template: str, language: str, **values: object) -> Response:
        """Render a template. Its forms get a token tied to the visitor's cookie, which the response sets."""
        visitor = visitor_id(request)
        html = pages.render_page(
            template,
            language,
            plan=self.study.plan,
            total=self.store.total,
            form_token=self.guard.form_token(visitor),
            **values,
        )
        response = HTMLResponse(html)
        set_cookie(request, response, VISITOR_COOKIE, visitor, VISITOR_SECONDS)
        return response

    async def welcome(self, request: Request) -> Response:
        """Show the first page, with the consent form."""
        self.guard.limiter.count("address", client_address(request))
        return self.render(
            request,
            "welcome.html",
            self._language(request.query_params.get("language")),
            languages=[(code, PAGE_TEXTS.read(code)["language"]) for code in PAGE_TEXTS.languages()],
            needs_code=self.guard.access.code is not None,
            minutes=pages.estimate_minutes(self.store.total),
        )

    async def join(self, request: Request) -> Response:
        """Add a rater who has consented and entered the access code."""
        fields = await self.guard.read_form(request)
        self.guard.check_code(request, fields.get("code", ""))
        if fields.get("consent") != "yes":
            raise HTTPException(400)
        self.guard.limiter.count("join", client_address(request))
        token = await run_in_threadpool(self.store.add_rater, self._language(fields.get("language")))
        return _redirect(f"/r/{token}/sound")

    async def static(self, request: Request) -> Response:
        """Send a static file."""
        self.guard.limiter.count("address", client_address(request))
        return send_static(STATIC_FILES, request.path_params["name"])

    async def error(self, request: Request, failure: Exception) -> Response:
        """Show an error page that reveals nothing about the server."""
        status, detail = (failure.status_code, failure.detail) if isinstance(failure, HTTPException) else (500, "")
        language = self._language(request.query_params.get("language"))
        response = self.render(request, "error.html", language, keys=(detail, str(status), "400"))
        response.status_code = status
        return response

    def _language(self, requested: str | None) -> str:
        """Return the requested language if the pages have it, else the study's."""
        return requested if requested is not None and requested in PAGE_TEXTS.languages() else self.study.plan.language


class RaterPages:
    """The pages behind a rater's personal link, `/r/TOKEN`.

    Args:
        site: the site.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.study = site.study
        self.store = site.store
        self.media_names = site.store.media_names()

    def routes(self) -> list[Route]:
        """Return the routes of these pages."""
        return [
            self._page("", self.resume),
            self._page("/sound", self.sound),
            self._page("/training", self.training),
            self._form("/start", self.start),
            self._page("/rate", self.rate),
            self._page("/back", self.back),
            self._form("/answer", self.answer),
            self._page("/pause", self.pause),
            self._page("/thanks", self.thanks),
            self._page("/media/{name}", self.medium, limit="media"),
        ]

    def _page(self, path: str, handler: RaterPage, limit: str = "rater") -> Route:
        """Return the route of a page. It is made in a thread, because it may wait for the disk."""

        async def handle(request: Request) -> Response:
            return await run_in_threadpool(handler, request, self._find_rater(request, limit))

        return Route(f"/r/{{token}}{path}", handle)

    def _form(self, path: str, handler: RaterForm) -> Route:
        """Return the route of a form. The handler gets its fields, and stores them in a thread."""

        async def handle(request: Request) -> Response:
            rater = self._find_rater(request, "rater")
            fields = await self.site.guard.read_form(request)
            return await run_in_threadpool(handler, request, rater, fields)

        return Route(f"/r/{{token}}{path}", handle, methods=["POST"])

    def _find_rater(self, request: Request, limit: str) -> Rater:
        """Return the rater of the personal link, and count the request against a rate limit."""
        rater = self.store.find_rater(request.path_params["token"])
        if rater is None:
            raise self.site.guard.refuse_guess(request, "link", 404)
        self.site.guard.limiter.count(limit, rater.id)
        return rater

    def resume(self, request: Request, rater: Rater) -> Response:
        """Send a rater who opens the personal link to the page where they stopped."""
        return _redirect(f"{_base_path(request)}/{'rate' if rater.started else 'sound'}")

    def sound(self, request: Request, rater: Rater) -> Response:
        """Show the volume check, with the sound of the first example."""
        item = self.store.examples()[0]
        source, candidates = pages.item_media(item, rater.language)
        sample = next(medium for medium in (source, *candidates) if medium.kind == "sound")
        return self._render(request, "sound.html", rater, sample=sample)

    def training(self, request: Request, rater: Rater) -> Response:
        """Show the examples and the answers that they deserve. The first two items are preloaded meanwhile."""
        design = self.study.design
        answers = {choice.value: choice for choice in pages.answer_choices(design, rater.language)}
        examples = []
        for item in self.store.examples():
            deserved = answers[design.examples[item.role.removeprefix("example ")]]
            examples.append((item, *pages.item_media(item, rater.language), deserved))
        first = self.store.next_task(rater)
        second = self.store.upcoming_task(rater)
        preload = pages.task_files(first) + pages.task_files(second)
        return self._render(request, "training.html", rater, design=design, examples=examples, preload=preload)

    def start(self, request: Request, rater: Rater, fields: Mapping[str, str]) -> Response:
        """Record that the training is done, and go to the first item."""
        self.store.mark_started(rater)
        return _redirect(f"{_base_path(request)}/rate")

    def rate(self, request: Request, rater: Rater) -> Response:
        """Show the first unanswered item, or the last page if all are answered."""
        task = self.store.next_task(rater)
        return self._show_task(request, rater, task) if task else _redirect(f"{_base_path(request)}/thanks")

    def back(self, request: Request, rater: Rater) -> Response:
        """Show the last answered item again, so that the rater can correct the answer."""
        task = self.store.last_task(rater)
        return self._show_task(request, rater, task) if task else _redirect(f"{_base_path(request)}/rate")

    def answer(self, request: Request, rater: Rater, fields: Mapping[str, str]) -> Response:
        """Store an answer, then redirect to the next item."""
        position, revision, value = (_parse_integer(fields.get(name)) for name in ("position", "revision", "value"))
        seconds = _parse_seconds(fields.get("seconds"))
        replays = min(_parse_integer(fields.get("replays") or "0"), MAX_REPLAYS)
        stored = self._store_answer(rater, position, revision, value, seconds, replays)
        return _redirect(f"{_base_path(request)}/rate{'' if stored else '?late'}")

    def pause(self, request: Request, rater: Rater) -> Response:
        """Show the personal link, with which the rater can return later."""
        done = self.store.count_answered(rater)
        link = str(request.url.replace(path=_base_path(request), query=""))
        return self._render(request, "pause.html", rater, done=done, link=link)

    def thanks(self, request: Request, rater: Rater) -> Response:
        """Show the last page, unless an item is still unanswered."""
        if self.store.next_task(rater):
            return _redirect(f"{_base_path(request)}/rate")
        return self._render(request, "thanks.html", rater)

    def medium(self, request: Request, rater: Rater) -> Response:
        """Send a sound or a picture, if the database names the file."""
        name = request.path_params["name"]
        if name not in self.media_names:
            raise HTTPException(404)
        return FileResponse(self.study.medium(name), headers={"Cache-Control": "private, max-age=86400, immutable"})

    def _render(self, request: Request, template: str, rater: Rater, **values: object) -> Response:
        """Render a template in the rater's language."""
        return self.site.render(request, template, rater.language, rater=rater, base=_base_path(request), **values)

    def _show_task(self, request: Request, rater: Rater, task: RatingTask) -> Response:
        """Show an item with its question and answers, and the previous answer if there is one."""
        design = self.study.design
        source, candidates = pages.item_media(task.item, rater.language, swapped=task.swapped)
        upcoming = self.store.upcoming_task(rater)
        return self._render(
            request,
            "rate.html",
            rater,
            task=task,
            source=source,
            candidates=candidates,
            question=pages.question_text(design, task.item, rater.language),
            choices=pages.answer_choices(design, rater.language),
            previous=None if task.value is None else pages.swap_preference(design, task, task.value),
            preload=pages.task_files(upcoming),
            late="late" in request.query_params,
        )

    def _store_answer(
        self, rater: Rater, position: int, revision: int, button: int, seconds: float | None, replays: int
    ) -> bool:
        """Store an answer, and return whether it is in the database; False if it came too late."""
        if button not in self.study.design.values:
            raise HTTPException(400)
        tasks = (self.store.next_task(rater), self.store.last_task(rater))
        task = next((task for task in tasks if task and task.position == position), None)
        if task is None:
            return False
        value = pages.swap_preference(self.study.design, task, button)
        if revision == task.revision - 1 and value == task.value:
            return True  # The same answer was sent again, by a double click or a reload.
        return self.store.add_answer(rater, position, revision, value, seconds=seconds, replays=replays)


class AdminPages:
    """The admin pages, `/admin`: login, progress, and download of the answers.

    Args:
        site: the site.
    """

    def __init__(self, site: Site) -> None:
        self.site = site

    def routes(self) -> list[Route]:
        """Return the routes of these pages."""
        return [
            Route("/admin", self.progress),
            Route("/admin/login", self.log_in, methods=["POST"]),
            Route("/admin/answers.{file_format}", self.download),
        ]

    async def progress(self, request: Request) -> Response:
        """Show the progress by model, rater and item; or the login form."""
        self.site.guard.limiter.count("address", client_address(request))
        if not self.site.guard.is_admin(request):
            return self.site.render(request, "login.html", "en")
        return await run_in_threadpool(self._render_progress, request)

    async def log_in(self, request: Request) -> Response:
        """Check the admin token, and set the admin cookie."""
        fields = await self.site.guard.read_form(request)
        value = self.site.guard.log_in(request, fields.get("token", ""))
        response = _redirect("/admin")
        set_cookie(request, response, ADMIN_COOKIE, value, ADMIN_SECONDS)
        return response

    async def download(self, request: Request) -> Response:
        """Send all answers as CSV or JSON."""
        file_format = request.path_params["file_format"]
        if not self.site.guard.is_admin(request) or file_format not in EXPORT_FORMATS:
            return _redirect("/admin")
        text = await run_in_threadpool(export_answers, self.site.store, file_format)
        headers = {"Content-Disposition": f'attachment; filename="answers.{file_format}"'}
        return Response(text, media_type=EXPORT_FORMATS[file_format], headers=headers)

    def _render_progress(self, request: Request) -> Response:
        """Render the progress page. It reads the whole database, so it runs in a separate thread."""
        store = self.site.store
        raters = store.answers_by_rater()
        return self.site.render(
            request,
            "admin.html",
            "en",
            rows=summarise_models_so_far(self.site.study, store.count_values()),
            items=store.ratings_by_item(),
            raters=[(rater, done) for rater, done in raters if done],
            joined=len(raters),
            finished=sum(done == store.total for _, done in raters),
        )


def make_app(study: RatingStudy, store: Store, access: Access) -> ASGIApp:
    """Return the website of a study as an ASGI application."""
    site = Site(study, store, access)
    routes = [
        Route("/", site.welcome),
        Route("/join", site.join, methods=["POST"]),
        Route("/static/{name}", site.static),
        *RaterPages(site).routes(),
        *AdminPages(site).routes(),
    ]
    handlers: Mapping[object, object] = dict.fromkeys((HTTPException, Exception), site.error)
    app = Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]
    # Starlette would redirect a path that ends with "/" to an absolute address, which a proxy may have changed.
    app.router.redirect_slashes = False
    return SecurityHeaders(AllowedHosts(app, access.hosts), SECURITY_HEADERS)


def _base_path(request: Request) -> str:
    """Return the path of the personal link."""
    return f"/r/{request.path_params['token']}"


def _redirect(path: str) -> Response:
    """Redirect to a page, which the browser requests with GET."""
    return RedirectResponse(path, status_code=303)


def _parse_integer(text: str | None) -> int:
    """Return a form field as an integer of up to nine digits; raise 400 for anything else."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        raise HTTPException(400)
    return int(text)


def _parse_seconds(text: str | None) -> float | None:
    """Return a response time, or None if it is missing or not plausible."""
    try:
        seconds = float(text or "nan")
    except ValueError:
        return None
    return seconds if 0 <= seconds <= MAX_RESPONSE_SECONDS else None
