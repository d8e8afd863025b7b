"""Checks of requests that all websites need: the host name, the origin and the size; and security headers."""

import ipaddress
import logging
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: The server's own log, on standard error.
LOG = logging.getLogger("uvicorn.error")
#: Headers of every response. Scripts, styles and media come from the website itself.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Addresses can be secrets, so other sites must not get them. "no-referrer" would also remove the Origin header from
    # our own forms, which `check_origin` needs.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Robots-Tag": "noindex, nofollow",
}


class AllowedHosts:
    """ASGI middleware that refuses requests for host names other than these. Every IP address is allowed.

    A page of another site cannot request ours under its own name then (DNS rebinding), and links that are made from the
    name lead to this site. `TrustedHostMiddleware` cannot allow IP addresses in general; a server does not know all of
    its own, behind a router or in a container for example.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and not self._is_allowed(Headers(scope=scope).get("host", "")):
            refusal = "This host name is not allowed. If it is right, start the server with: --host NAME\n"
            await PlainTextResponse(refusal, 400)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _is_allowed(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            return name in self.hosts or bool(ipaddress.ip_address(name))
        except ValueError:
            return False


class SecurityHeaders:
    """ASGI middleware that adds headers, see `SECURITY_HEADERS`, to every response, and by default forbids caching."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app = app
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)


def client_address(request: Request) -> str:
    """Return the IP address that a request comes from, "" if unknown."""
    return request.client.host if request.client else ""


def check_origin(request: Request) -> None:
    """Refuse a form that was not sent from one of our pages.

    Raises:
        HTTPException: 403, the form came from another site.
    """
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403)
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403)


async def limited_body(request: Request, largest: int) -> AsyncIterator[bytes]:
    """Yield the parts of a request's body.

    Args:
        request: the request.
        largest: size of the largest body that is accepted, bytes.

    Raises:
        HTTPException: 400, the body was cut off; 413, it is too large.
    """
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > largest:
                raise HTTPException(413)
            yield part
    except ClientDisconnect as error:
        LOG.warning("a request from %s was cut off; nothing of it was stored", client_address(request))
        raise HTTPException(400) from error
