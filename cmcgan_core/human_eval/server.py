"""The web page of a study: consent, volume, training, one item at a time, a break, thanks.

Every page works without JavaScript; `static/rate.js` adds keys, preloading and times. An answer is a plain form: it is
on disk before the browser is sent on, and sent again after a crash it does no harm.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from cmcgan_core.human_eval import pages
from cmcgan_core.human_eval.export import FORMATS, export
from cmcgan_core.human_eval.guard import ADMIN, VISIT, Access, Guard, SafeHeaders, address, set_cookie, visit
from cmcgan_core.human_eval.store import Rater, Store, Task
from cmcgan_core.human_eval.study import Study, languages
from cmcgan_core.human_eval.summary import live_rows

#: The files that the pages use.
STATIC = {path.name: path for path in (Path(__file__).parent / "static").iterdir()}
#: Longest time that an answer can take, seconds; a page that was open for longer was left alone.
LONGEST = 86_400.0

RaterPage = Callable[["Site", Request, Rater], Awaitable[Response]]


class Site:
    """The pages of one study.

    Args:
        study: the folder.
        store: its database.
        access: codes and hosts.
    """

    def __init__(self, study: Study, store: Store, access: Access) -> None:
        self.study = study
        self.store = store
        self.guard = Guard(access, store.secret("forms"))
        self.media = store.media()

    def page(self, request: Request, template: str, language: str, status: int = 200, **values: object) -> Response:
        """A page whose forms bear the visitor's token."""
        token = visit(request)
        html = pages.render(
            template,
            language,
            plan=self.study.plan,
            total=self.store.total,
            form_token=self.guard.form_token(token),
            **values,
        )
        response = HTMLResponse(html, status)
        set_cookie(request, response, VISIT, token, days=90)
        return response

    def language(self, request: Request) -> str:
        """The language that is asked for, or the study's."""
        wanted = request.query_params.get("language", "")
        return wanted if wanted in languages() else self.study.plan.language

    async def welcome(self, request: Request) -> Response:
        """Consent."""
        self.guard.limiter.count("address", address(request))
        others = [(code, pages.text_of(code)["language"]) for code in languages()]
        return self.page(
            request,
            "welcome.html",
            self.language(request),
            others=others,
            needs_code=self.guard.access.code is not None,
            minutes=pages.minutes(self.store.total),
        )

    async def join(self, request: Request) -> Response:
        """A new rater, after consent and the access code."""
        self.guard.limiter.count("join", address(request))
        fields = await self.guard.form(request)
        self.guard.check_code(request, fields.get("code", ""))
        if fields.get("consent") != "yes":
            raise HTTPException(400)
        language = fields.get("language", "")
        language = language if language in languages() else self.study.plan.language
        token = await run_in_threadpool(self.store.join, language)
        return _see(f"/r/{token}/sound")

    async def resume(self, request: Request, rater: Rater) -> Response:
        """The personal link: back to where the rater was."""
        return _see(f"{_base(request)}/{'rate' if rater.started else 'sound'}")

    async def sound(self, request: Request, rater: Rater) -> Response:
        """Volume check, with a real sound."""
        item = (await run_in_threadpool(self.store.examples))[0]
        source, candidates = pages.media_of(item, rater.language)
        sample = next(medium for medium in (source, *candidates) if medium.kind == "sound")
        return self.page(request, "sound.html", rater.language, base=_base(request), sample=sample)

    async def training(self, request: Request, rater: Rater) -> Response:
        """Examples with the answers that they deserve; the first items load meanwhile."""
        design = self.study.design
        answers = {choice.value: choice for choice in pages.choices(design, rater.language)}
        examples = []
        for item in await run_in_threadpool(self.store.examples):
            deserved = answers[design.examples[item.role.removeprefix("example ")]]
            examples.append((item, *pages.media_of(item, rater.language), deserved))
        first = await run_in_threadpool(self.store.next_task, rater)
        coming = await run_in_threadpool(self.store.coming_task, rater)
        return self.page(
            request,
            "training.html",
            rater.language,
            base=_base(request),
            design=design,
            examples=examples,
            preload=pages.files_of(first) + pages.files_of(coming),
        )

    async def start(self, request: Request, rater: Rater) -> Response:
        """The training is over."""
        await self.guard.form(request)
        await run_in_threadpool(self.store.start, rater)
        return _see(f"{_base(request)}/rate")

    async def rate(self, request: Request, rater: Rater) -> Response:
        """The item to rate now, or thanks."""
        task = await run_in_threadpool(self.store.next_task, rater)
        if task is None:
            return _see(f"{_base(request)}/thanks")
        return await self._task_page(request, rater, task)

    async def back(self, request: Request, rater: Rater) -> Response:
        """The last item again, to correct its answer."""
        task = await run_in_threadpool(self.store.last_task, rater)
        return await self._task_page(request, rater, task) if task else _see(f"{_base(request)}/rate")

    async def _task_page(self, request: Request, rater: Rater, task: Task) -> Response:
        design, language = self.study.design, rater.language
        source, candidates = pages.media_of(task.item, language, swapped=task.swapped)
        coming = await run_in_threadpool(self.store.coming_task, rater)
        given = None if task.value is None else pages.canonical(design, task, task.value)
        return self.page(
            request,
            "rate.html",
            language,
            base=_base(request),
            task=task,
            source=source,
            candidates=candidates,
            question=pages.question(design, task.item, language),
            choices=pages.choices(design, language),
            given=given,
            preload=pages.files_of(coming),
            late="late" in request.query_params,
        )

    async def answer(self, request: Request, rater: Rater) -> Response:
        """Put an answer on disk, then send the browser on."""
        fields = await self.guard.form(request)
        position, revision, shown = (_whole(fields.get(name)) for name in ("position", "revision", "value"))
        added = await run_in_threadpool(
            self._record,
            rater,
            position,
            revision,
            shown,
            _seconds(fields.get("seconds")),
            min(_whole(fields.get("replays") or "0"), 1000),
        )
        return _see(f"{_base(request)}/rate{'' if added else '?late'}")

    def _record(
        self, rater: Rater, position: int, revision: int, shown: int, seconds: float | None, replays: int
    ) -> bool:
        if shown not in self.study.design.values:
            raise HTTPException(400)
        tasks = (self.store.next_task(rater), self.store.last_task(rater))
        task = next((task for task in tasks if task and task.position == position), None)
        if task is None:
            return False
        value = pages.canonical(self.study.design, task, shown)
        if revision == task.revision - 1 and value == task.value:
            return True  # the same answer again: a double click or a reload
        return self.store.answer(rater, position, revision, value, seconds=seconds, replays=replays)

    async def pause(self, request: Request, rater: Rater) -> Response:
        """The personal link, to come back with."""
        done = await run_in_threadpool(self.store.answered, rater)
        link = str(request.url.replace(path=_base(request), query=""))
        return self.page(request, "pause.html", rater.language, base=_base(request), rater=rater, done=done, link=link)

    async def thanks(self, request: Request, rater: Rater) -> Response:
        """The end."""
        if await run_in_threadpool(self.store.next_task, rater):
            return _see(f"{_base(request)}/rate")
        return self.page(request, "thanks.html", rater.language, base=_base(request), rater=rater)

    async def medium(self, request: Request, rater: Rater) -> Response:
        """A sound or a picture; only names that the database knows."""
        name = request.path_params["name"]
        if name not in self.media:
            raise HTTPException(404)
        return FileResponse(self.study.media / name, headers={"Cache-Control": "private, max-age=86400, immutable"})

    async def static(self, request: Request) -> Response:
        """A style sheet or a script."""
        self.guard.limiter.count("address", address(request))
        path = STATIC.get(request.path_params["name"])
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, headers={"Cache-Control": "public, max-age=3600"})

    async def error(self, request: Request, failure: Exception) -> Response:
        """Any failure as a page that tells nothing of the inside."""
        status = failure.status_code if isinstance(failure, HTTPException) else 500
        return self.page(request, "error.html", self.language(request), status, code=str(status))


def make_app(study: Study, store: Store, access: Access) -> ASGIApp:
    """The study as an ASGI application."""
    site = Site(study, store, access)
    routes = [
        Route("/", site.welcome),
        Route("/join", site.join, methods=["POST"]),
        Route("/static/{name}", site.static),
        *admin_routes(site),
    ]
    for path, page, method in (
        ("", Site.resume, "GET"),
        ("/sound", Site.sound, "GET"),
        ("/training", Site.training, "GET"),
        ("/start", Site.start, "POST"),
        ("/rate", Site.rate, "GET"),
        ("/back", Site.back, "GET"),
        ("/answer", Site.answer, "POST"),
        ("/pause", Site.pause, "GET"),
        ("/thanks", Site.thanks, "GET"),
        ("/media/{name}", Site.medium, "GET"),
    ):
        routes.append(Route(f"/r/{{token}}{path}", _for_rater(site, page), methods=[method]))
    middleware = []
    if access.hosts is not None:
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=list(access.hosts), www_redirect=False))
    handlers: Mapping[object, object] = dict.fromkeys((HTTPException, Exception), site.error)
    return SafeHeaders(Starlette(routes=routes, middleware=middleware, exception_handlers=handlers))  # type: ignore[arg-type]


def _for_rater(site: Site, page: RaterPage) -> Callable[[Request], Awaitable[Response]]:
    """A page that needs a personal link."""

    @functools.wraps(page)
    async def guarded(request: Request) -> Response:
        token = request.path_params["token"]
        rater = await run_in_threadpool(site.store.rater, token)
        if rater is None:
            site.guard.refuse_guessers(request)
            raise site.guard.wrong(request, 404)
        site.guard.limiter.count("media" if "name" in request.path_params else "rater", rater.id)
        return await page(site, request, rater)

    return guarded


def _base(request: Request) -> str:
    return f"/r/{request.path_params['token']}"


def _see(path: str) -> Response:
    return RedirectResponse(path, status_code=303)


def _whole(text: str | None) -> int:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        raise HTTPException(400)
    return int(text)


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "nan")
    except ValueError:
        return None
    return seconds if 0 <= seconds <= LONGEST else None


def run_server(study: Study, store: Store, access: Access, host: str, port: int) -> None:
    """Serve a study until it is stopped; one process, as the limits are counted in its memory.

    A reverse proxy on the same machine is trusted to say where a request comes from, and over which scheme.
    """
    import uvicorn

    uvicorn.run(
        make_app(study, store, access),
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        access_log=False,
        timeout_keep_alive=30,
        limit_concurrency=1000,
    )


def admin_routes(site: Site) -> list[Route]:
    """The admin's routes."""

    async def page(request: Request) -> Response:
        site.guard.limiter.count("address", address(request))
        if not site.guard.is_admin(request):
            return site.page(request, "login.html", "en")
        return await run_in_threadpool(_admin_page, site, request)

    async def log_in(request: Request) -> Response:
        fields = await site.guard.form(request)
        value = site.guard.log_in(request, fields.get("token", ""))
        response = RedirectResponse("/admin", status_code=303)
        set_cookie(request, response, ADMIN, value, days=0.5)
        return response

    async def download(request: Request) -> Response:
        if not site.guard.is_admin(request):
            return RedirectResponse("/admin", status_code=303)
        kind = request.path_params["kind"]
        if kind not in FORMATS:
            return RedirectResponse("/admin", status_code=303)
        text = await run_in_threadpool(export, site.store, kind)
        headers = {"Content-Disposition": f'attachment; filename="answers.{kind}"'}
        return Response(text, media_type=FORMATS[kind], headers=headers)

    return [
        Route("/admin", page),
        Route("/admin/login", log_in, methods=["POST"]),
        Route("/admin/answers.{kind}", download),
    ]


def _admin_page(site: Site, request: Request) -> Response:
    raters = site.store.rater_progress()
    return site.page(
        request,
        "admin.html",
        "en",
        rows=live_rows(site.study, site.store.answers()),
        items=site.store.ratings_by_item(),
        raters=[(rater, done) for rater, done in raters if done],
        joined=len(raters),
        finished=sum(done == site.store.total for _, done in raters),
    )
