"""Who may do what: headers, form tokens, size and rate limits, access code and admin token."""

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes that a form may have.
LARGEST_FORM = 4096
#: Requests that a key may make, and in how many seconds: a rater's pages; a rater's sounds and pictures; anything else
#: of one address; joining, of one address (a class behind one router); wrong codes, tokens and links, of one address.
LIMITS = {
    "rater": (240, 60.0),
    "media": (1200, 60.0),
    "address": (600, 60.0),
    "join": (120, 60.0),
    "wrong": (20, 300.0),
}
#: Keys that are remembered; beyond it the oldest are forgotten.
REMEMBERED = 20_000

VISIT, ADMIN = "cmcgan_visit", "cmcgan_admin"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # The personal link is a key: it goes to no other site. "no-referrer" would also blank the Origin of our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Robots-Tag": "noindex, nofollow",
}


@dataclass(frozen=True)
class Access:
    """What opens the doors.

    Attributes:
        admin_token: of the admin page.
        code: that raters need to begin; None on a loopback address.
        hosts: names by which the server may be called, against DNS rebinding; None for any.
    """

    admin_token: str
    code: str | None = None
    hosts: tuple[str, ...] | None = ("127.0.0.1", "localhost", "[::1]")


class SafeHeaders:
    """Puts `HEADERS` on every response, and forbids caching where nothing else is said."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, guarded)


class Limiter:
    """Counts requests by kind and key in fixed windows, in memory."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, kind: str, key: str) -> None:
        """Count a request.

        Raises:
            HTTPException: 429, there were too many.
        """
        most, window = LIMITS[kind]
        now = time.monotonic()
        with self._lock:
            since, number = self._counts.pop((kind, key), (now, 0))
            if now - since > window:
                since, number = now, 0
            self._counts[kind, key] = (since, number + 1)
            while len(self._counts) > REMEMBERED:
                self._counts.popitem(last=False)
        if number >= most:
            raise HTTPException(429)

    def blocked(self, kind: str, key: str) -> bool:
        """Whether one more would be too many."""
        most, window = LIMITS[kind]
        since, number = self._counts.get((kind, key), (0.0, 0))
        return number >= most and time.monotonic() - since <= window


class Guard:
    """The checks that a request must pass.

    Args:
        access: codes and hosts.
        key: secret of the study, for form tokens; outlives a restart, so that an open page can still be sent.
    """

    def __init__(self, access: Access, key: str) -> None:
        self.access = access
        self.limiter = Limiter()
        self._key = key.encode()

    def wrong(self, request: Request, status: int) -> HTTPException:
        """Count a wrong code, token or link; to be raised."""
        self.limiter.count("wrong", address(request))
        return HTTPException(status)

    def refuse_guessers(self, request: Request) -> None:
        """Raise 429 for an address that was wrong too often."""
        if self.limiter.blocked("wrong", address(request)):
            raise HTTPException(429)

    def form_token(self, visit: str) -> str:
        """What a form must send back, tied to the visitor's cookie."""
        return self._sign(f"form {visit}")

    def check_origin(self, request: Request) -> None:
        """A form must come from a page of ours.

        Raises:
            HTTPException: 403, it does not.
        """
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            raise HTTPException(403)
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise HTTPException(403)

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of a form that is small enough and was made by a page of ours for this visitor.

        Raises:
            HTTPException: 403, 413 or 415, it is not.
        """
        self.check_origin(request)
        if request.headers.get("content-type", "").split(";")[0] != "application/x-www-form-urlencoded":
            raise HTTPException(415)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LARGEST_FORM:
                raise HTTPException(413)
        try:
            fields = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20))
        except ValueError as error:
            raise HTTPException(400) from error
        visit = request.cookies.get(VISIT, "")
        if not visit or not same(fields.get("form_token", ""), self.form_token(visit)):
            raise HTTPException(403)
        return fields

    def check_code(self, request: Request, given: str) -> None:
        """Raises 403 for a wrong access code."""
        self.refuse_guessers(request)
        if self.access.code is not None and not same(given.strip(), self.access.code):
            raise self.wrong(request, 403)

    def log_in(self, request: Request, given: str) -> str:
        """The admin cookie's value for the right token; raises 403 for a wrong one."""
        self.refuse_guessers(request)
        if not same(given.strip(), self.access.admin_token):
            raise self.wrong(request, 403)
        return self._admin_value()

    def is_admin(self, request: Request) -> bool:
        """Whether the request bears the admin cookie."""
        return same(request.cookies.get(ADMIN, ""), self._admin_value())

    def _admin_value(self) -> str:
        return self._sign(f"admin {self.access.admin_token}")

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def same(given: str, right: str) -> bool:
    """Whether two secrets are equal, in a time that tells nothing."""
    return hmac.compare_digest(given.encode(), right.encode())


def address(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else ""


def visit(request: Request) -> str:
    """The visitor's random cookie, or a new one for `keep_visit`."""
    state: MutableMapping[str, Any] = request.scope.setdefault("state", {})
    if "visit" not in state:
        state["visit"] = request.cookies.get(VISIT) or secrets.token_urlsafe(18)
    return str(state["visit"])


def set_cookie(request: Request, response: Response, name: str, value: str, days: float) -> None:
    """A cookie that no script reads and no form of another site sends."""
    response.set_cookie(
        name, value, max_age=int(days * 86_400), httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )
