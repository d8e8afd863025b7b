"""Access control of the website: form tokens, rate limits, access code, admin login. See also `web.guard`.

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
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from cmcgan_core.web.guard import check_origin, client_address, limited_body

#: Largest body of a form, bytes.
MAX_FORM_BYTES = 4096
#: Rate limits by kind of request: number of requests, and length of the window in seconds. Requests are counted per
#: rater ("rater" and "media") or per client address (the other kinds). A whole class may share one address.
RATE_LIMITS = {
    "rater": (3000, 60.0),  # the pages of a rater
    "media": (3000, 60.0),  # the sounds and pictures of a rater
    "address": (6000, 60.0),  # the first page, the admin page and static files
    "join": (600, 60.0),  # new raters
    "code": (20, 300.0),  # wrong access codes
    "link": (20, 300.0),  # wrong personal links
    "admin": (20, 300.0),  # wrong admin tokens
}
#: Number of keys that the rate limiter remembers. Beyond it, the least recently used key is forgotten.
MAX_KEYS = 20_000

#: Time after which an admin has to log in again, seconds.
ADMIN_SECONDS = 43_200

VISITOR_COOKIE = "cmcgan_visit"
ADMIN_COOKIE = "cmcgan_admin"


@dataclass(frozen=True)
class Access:
    """The secrets and host names that the server accepts.

    Attributes:
        admin_token: token that opens the admin page.
        code: access code that raters enter before they begin, or None if no code is needed.
        hosts: host names, in lower case, under which the site may be requested; see `AllowedHosts`.
    """

    admin_token: str
    code: str | None = None
    hosts: frozenset[str] = frozenset({"localhost"})


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

    def refuse_guess(self, request: Request, kind: str, status: int) -> HTTPException:
        """Count a wrong code, link or token, and return the exception to raise.

        Only wrong ones are counted, each kind by itself. A right one always passes: many raters and the admin may have
        one address, and a wrong guess of one of them must not lock out the others. The exception's detail is the kind,
        which chooses the text of the error page.

        Raises:
            HTTPException: 429, too many wrong ones came from this address.
        """
        self.limiter.count(kind, client_address(request))
        return HTTPException(status, kind)

    def form_token(self, visitor: str) -> str:
        """Return the token that a form must send back. It is tied to the visitor's cookie."""
        return self._sign(f"form {visitor}")

    async def read_form(self, request: Request) -> dict[str, str]:
        """Return the fields of a form, after checking its origin, type, size and token.

        Raises:
            HTTPException: 400, the form was cut off, or its fields cannot be parsed; 403, it came from another site or
                has a wrong token; 413, it is too large; 415, it is not URL-encoded.
        """
        check_origin(request)
        if request.headers.get("content-type", "").split(";")[0] != "application/x-www-form-urlencoded":
            raise HTTPException(415)
        body = b"".join([part async for part in limited_body(request, MAX_FORM_BYTES)])
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
        if self.access.code is not None and not equal_secrets(code.strip(), self.access.code):
            raise self.refuse_guess(request, "code", 403)

    def log_in(self, request: Request, token: str) -> str:
        """Check the admin token, and return the value of the admin cookie.

        Raises:
            HTTPException: 403, the token is wrong; 429, there were too many wrong guesses.
        """
        if not equal_secrets(token.strip(), self.access.admin_token):
            raise self.refuse_guess(request, "admin", 403)
        return self._admin_cookie(secrets.token_urlsafe(18), f"{time.time() + ADMIN_SECONDS:.0f}")

    def is_admin(self, request: Request) -> bool:
        """Return whether the request has the cookie of a login that has not ended."""
        cookie = request.cookies.get(ADMIN_COOKIE, "")
        nonce, _, rest = cookie.partition(".")
        end = rest.partition(".")[0]
        return equal_secrets(cookie, self._admin_cookie(nonce, end)) and float(end) > time.time()

    def _admin_cookie(self, nonce: str, end: str) -> str:
        """Return the value of an admin cookie: a random number of the login, the time of its end, and a signature."""
        return f"{nonce}.{end}.{self._sign(f'admin {self.access.admin_token} {nonce} {end}')}"

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def equal_secrets(first: str, second: str) -> bool:
    """Return whether two secrets are equal. The time that this takes does not depend on where they differ."""
    return hmac.compare_digest(first.encode(), second.encode())


def visitor_id(request: Request) -> str:
    """Return the random value of the visitor's cookie, or a new value if the request has no such cookie."""
    state: MutableMapping[str, Any] = request.scope.setdefault("state", {})
    if "visitor" not in state:
        state["visitor"] = request.cookies.get(VISITOR_COOKIE) or secrets.token_urlsafe(18)
    return str(state["visitor"])


def set_cookie(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    """Set a cookie that scripts cannot read and that forms of other sites do not send."""
    response.set_cookie(
        name, value, max_age=seconds, httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )
