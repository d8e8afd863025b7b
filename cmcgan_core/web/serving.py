"""Run a website on a port."""

import socket

import uvicorn
from starlette.types import ASGIApp

from cmcgan_core.errors import ConfigError
from cmcgan_core.utils.files import error_reason
from cmcgan_core.utils.system import WINDOWS
from cmcgan_core.web.connections import LimitedProtocol


def require_free_port(host: str, port: int) -> None:
    """Check that a server can listen on a port.

    Raises:
        ConfigError: it cannot, because another program uses the port for example.
    """
    with socket.socket() as probe:
        if not WINDOWS:  # there, the option would allow a port that another program uses
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"port {port} cannot be used ({error_reason(error)}); choose another --port") from error


def allowed_names(named: list[str] | None) -> frozenset[str]:
    """Return the host names under which a website may be requested: this machine's, and those that the user named."""
    return frozenset(name.lower() for name in ("localhost", socket.gethostname(), *(named or ())))


def run_server(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    protocol: type[LimitedProtocol] = LimitedProtocol,
    behind_proxy: bool = False,
) -> None:
    """Serve a website until the process is stopped. Requests that have arrived by then are answered.

    Args:
        app: the website.
        host: address to listen on.
        port: port to listen on.
        protocol: the limits of its connections.
        behind_proxy: whether a reverse proxy on this machine passes requests on. Its headers are then believed for the
            client's address and scheme; otherwise these headers are ignored, because any client could send them.
    """
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=protocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        server_header=False,
        access_log=False,
        proxy_headers=behind_proxy,
        forwarded_allow_ips="127.0.0.1",
        timeout_keep_alive=protocol.request_seconds,
        timeout_graceful_shutdown=5,
    )
