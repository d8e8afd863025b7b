"""Access control of the website: security headers, form tokens, size and rate limits, access code, admin login.

The rate limiter, the form tokens and the form parser are our own code, because the usual packages for them (such as
`limits`, `starlette-csrf` and `python-multipart`) would be three more dependencies that `pip install` brings to every
user. Each part is small, does only what this site needs, and is tested with the attacks that it must refuse
(`tests/test_human_eval_server.py`).
"""

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

#: Largest body of a form, bytes.
MAX_FORM_BYTES = 4096
#: Rate limits by kind of request: number of requests, and length of the window in seconds. Requests are counted per
#: rater ("rater" and "media") or per client address (the other kinds).
RATE_LIMITS = {
    "rater": (240, 60.0),  # the pages of a rater
    "media": (1200, 60.0),  # the sounds and pictures of a rater
    "address": (600, 60.0),  # the first page, the admin page and static files
    "join": (120, 60.0),  # new raters; a whole class may share one address
    "wrong": (20, 300.0),  # wrong access codes, admin tokens and personal links
}
#: Number of keys that the rate limiter remembers. Beyond it, the least recently used key is forgotten.
MAX_KEYS = 20_000

VISITOR_COOKIE = "cmcgan_visit"
ADMIN_COOKIE = "cmcgan_admin"
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # The personal link is a secret, so other sites must not get it. "no-referrer" would also remove the Origin header
    # from our own forms, which `Guard.check_origin` needs.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Robots-Tag": "noindex, nofollow",
}


@dataclass(frozen=True)
class Access:
    """The secrets and host names that the server accepts.

    Attributes:
        admin_token: token that opens the admin page.
        code: access code that raters enter before they begin, or None if no code is needed.
        hosts: host names that requests may use, which prevents DNS rebinding; None accepts any host name.
    """

    admin_token: str
    code: str | None = None
    hosts: tuple[str, ...] | None = ("127.0.0.1", "localhost", "[::1]")


class SecurityHeaders:
    """ASGI middleware that adds `SECURITY_HEADERS` to every response, and forbids caching by default."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)


class RateLimiter:
    """Count requests by kind and key in fixed time windows, in memory."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, kind: str, key: str) -> None:
        """Count a request.

        Args:
            kind: a key of `RATE_LIMITS`.
            key: the rater's id or the client's address.

        Raises:
            HTTPException: 429, the limit is exceeded.
        """
        limit, window = RATE_LIMITS[kind]
        now = time.monotonic()
        with self._lock:
            window_start, count = self._counts.pop((kind, key), (now, 0))
            if now - window_start > window:
                window_start, count = now, 0
            self._counts[kind, key] = (window_start, count + 1)
            while len(self._counts) > MAX_KEYS:
                self._counts.popitem(last=False)
        if count >= limit:
            raise HTTPException(429)

    def is_exhausted(self, kind: str, key: str) -> bool:
        """Return whether the next request would exceed the limit."""
        limit, window = RATE_LIMITS[kind]
        window_start, count = self._counts.get((kind, key), (0.0, 0))
        return count >= limit and time.monotonic() - window_start <= window


class Guard:
    """Checks that requests must pass.

    Args:
        access: accepted secrets and host names.
        key: the study's secret for signing. It survives a restart of the server, so open pages stay valid.
    """

    def __init__(self, access: Access, key: str) -> None:
        self.access = access
        self.limiter = RateLimiter()
        self._key = key.encode()

    def count_wrong_guess(self, request: Request, status: int) -> HTTPException:
        """Count a wrong code, token or link, and return the exception to raise.

        Raises:
            HTTPException: 429, too many wrong guesses came from this address.
        """
        self.limiter.count("wrong", client_address(request))
        return HTTPException(status)

    def refuse_guessers(self, request: Request) -> None:
        """Refuse an address that made too many wrong guesses.

        Raises:
            HTTPException: 429, the address is locked out.
        """
        if self.limiter.is_exhausted("wrong", client_address(request)):
            raise HTTPException(429)

    def form_token(self, visitor: str) -> str:
        """Return the token that a form must send back. It is tied to the visitor's cookie."""
        return self._sign(f"form {visitor}")

    def check_origin(self, request: Request) -> None:
        """Refuse a form that was not sent from one of our pages.

        Raises:
            HTTPException: 403, the form came from another site.
        """
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            raise HTTPException(403)
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise HTTPException(403)

    async def read_form(self, request: Request) -> dict[str, str]:
        """Return the fields of a form, after checking its origin, type, size and token.

        Raises:
            HTTPException: 400, the fields cannot be parsed; 403, the form came from another site or has a wrong
                token; 413, it is too large; 415, it is not URL-encoded.
        """
        self.check_origin(request)
        if request.headers.get("content-type", "").split(";")[0] != "application/x-www-form-urlencoded":
            raise HTTPException(415)
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_FORM_BYTES:
                raise HTTPException(413)
        try:
            fields = dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=20))
        except ValueError as error:
            raise HTTPException(400) from error
        visitor = request.cookies.get(VISITOR_COOKIE, "")
        if not visitor or not equal_secrets(fields.get("form_token", ""), self.form_token(visitor)):
            raise HTTPException(403)
        return fields

    def check_code(self, request: Request, code: str) -> None:
        """Check the access code that a rater entered.

        Raises:
            HTTPException: 403, the code is wrong; 429, there were too many wrong guesses.
        """
        self.refuse_guessers(request)
        if self.access.code is not None and not equal_secrets(code.strip(), self.access.code):
            raise self.count_wrong_guess(request, 403)

    def log_in(self, request: Request, token: str) -> str:
        """Check the admin token, and return the value of the admin cookie.

        Raises:
            HTTPException: 403, the token is wrong; 429, there were too many wrong guesses.
        """
        self.refuse_guessers(request)
        if not equal_secrets(token.strip(), self.access.admin_token):
            raise self.count_wrong_guess(request, 403)
        return self._admin_cookie_value()

    def is_admin(self, request: Request) -> bool:
        """Return whether the request has a valid admin cookie."""
        return equal_secrets(request.cookies.get(ADMIN_COOKIE, ""), self._admin_cookie_value())

    def _admin_cookie_value(self) -> str:
        return self._sign(f"admin {self.access.admin_token}")

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def equal_secrets(first: str, second: str) -> bool:
    """Return whether two secrets are equal. The time that this takes does not depend on where they differ."""
    return hmac.compare_digest(first.encode(), second.encode())


def client_address(request: Request) -> str:
    """Return the IP address that a request comes from, "" if unknown."""
    return request.client.host if request.client else ""


def visitor_id(request: Request) -> str:
    """Return the random value of the visitor's cookie, or a new value if the request has no such cookie."""
    state: MutableMapping[str, Any] = request.scope.setdefault("state", {})
    if "visitor" not in state:
        state["visitor"] = request.cookies.get(VISITOR_COOKIE) or secrets.token_urlsafe(18)
    return str(state["visitor"])


def set_cookie(request: Request, response: Response, name: str, value: str, days: float) -> None:
    """Set a cookie that scripts cannot read and that forms of other sites do not send."""
    response.set_cookie(
        name, value, max_age=int(days * 86_400), httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )
