"""The admin page: progress per item and model, live rates, exports; behind the admin token."""

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from cmcgan_core.human_eval.export import FORMATS, export
from cmcgan_core.human_eval.guard import ADMIN, address, set_cookie
from cmcgan_core.human_eval.summary import live_rows

if TYPE_CHECKING:
    from cmcgan_core.human_eval.server import Site


def routes(site: "Site") -> list[Route]:
    """The admin's routes."""

    async def page(request: Request) -> Response:
        site.guard.limiter.count("address", address(request))
        if not site.guard.is_admin(request):
            return site.page(request, "login.html", "en")
        return await run_in_threadpool(_progress, site, request)

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


def _progress(site: "Site", request: Request) -> Response:
    raters = site.store.rater_progress()
    return site.page(
        request, "admin.html", "en",
        rows=live_rows(site.study, site.store.answers()),
        items=site.store.ratings_by_item(),
        raters=[(rater, done) for rater, done in raters if done],
        joined=len(raters), finished=sum(done == site.store.total for _, done in raters),
    )  # fmt: skip
