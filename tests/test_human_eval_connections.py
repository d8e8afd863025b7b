"""The running server: slow and half-open connections, cut-off forms, headers of a proxy, and an orderly stop."""

import http.client
import shutil
import signal
import socket
import sqlite3
import threading
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from human_eval_fixtures import free_port, hidden_fields, make_study, start_server

from cmcgan_core.human_eval.guard import RATE_LIMITS
from cmcgan_core.web.connections import LimitedProtocol

#: Limits of the server in these tests, which would otherwise take long.
LIMITS = """
from cmcgan_core.web import connections
connections.LimitedProtocol.request_seconds = 1
connections.MAX_CONNECTIONS = 40
"""
CODE = "cello-4711"


class Server:
    """A server with short limits, its port, and its log."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.study = make_study(folder / "study", pairs=4, per_rater=11, checks_per_rater=1)
        self.port = free_port()
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = start_server(self.study, self.port, "--quiet", *options, before=LIMITS, log=log)

    def request(
        self, method: str, path: str, form: dict[str, str] | None = None, source: str = "127.0.0.1", **headers: str
    ) -> tuple[http.client.HTTPResponse, str]:
        """Send a request from an address of this machine; return the response and its text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=(source, 0))
        headers |= {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request(method, path, urllib.parse.urlencode(form) if form else None, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response, text

    def open(self, data: bytes) -> socket.socket:
        """Open a connection, and send the beginning of a request."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(data)
        return connection

    def answer(self, number: int) -> None:
        """Join, and answer this many questions."""
        home, page = self.request("GET", "/")
        cookie = str(home.getheader("set-cookie")).split(";")[0]
        form = {**hidden_fields(page), "consent": "yes", "code": CODE}
        base = str(self.request("POST", "/join", form, Cookie=cookie)[0].getheader("location")).removesuffix("/sound")
        for _ in range(number):
            form = {**hidden_fields(self.request("GET", f"{base}/rate", Cookie=cookie)[1]), "value": "1"}
            answered, _ = self.request("POST", f"{base}/answer", form, Cookie=cookie)
            assert (answered.status, answered.getheader("location")) == (303, f"{base}/rate")


@contextmanager
def running(folder: Path, *options: str) -> Iterator[Server]:
    """Run a server, and kill it at the end if it has not stopped."""
    server = Server(folder, *options)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


def is_closed(connection: socket.socket) -> bool:
    """Wait until the server closes a connection."""
    try:
        while connection.recv(1000):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


POST = b"POST /join HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
        POST + b"Content-Length: 100\r\n\r\nconsent=yes",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\ncon",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HTTP/1.1\r\nHost: ",  # a whole request, and half of the next
    ],
)
def test_a_request_that_is_not_completed_is_closed(server: Server, data: bytes) -> None:
    assert is_closed(server.open(data))


def test_a_request_that_trickles_in_is_closed(server: Server) -> None:
    connection = server.open(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")

    def trickle() -> None:
        for _ in range(50):
            time.sleep(0.1)
            connection.sendall(b"x")

    with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
        trickle()


def test_a_download_may_take_longer_than_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LimitedProtocol, "request_seconds", 0.2)
    body = b"x" * 20_000_000

    async def app(scope: object, receive: object, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": body})

    server = uvicorn.Server(uvicorn.Config(app, http=LimitedProtocol, lifespan="off", log_level="error"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=30)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            client.request("GET", "/")
            response = client.getresponse()
            time.sleep(1)
            assert len(response.read()) == len(body)
        finally:
            client.close()
            server.should_exit = True
            thread.join()


def test_many_connections_of_a_byte_shut_out_nobody(server: Server) -> None:
    idle = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30, source_address=("127.0.0.2", 0))
    idle.request("GET", "/")
    idle.getresponse().read()
    slow = [server.open(b"G") for _ in range(100)]
    for source in ("127.0.0.1", "127.0.0.2"):
        assert server.request("GET", "/", source=source)[0].status == 200
    # The connection of another address is kept: the crowd loses its own.
    idle.request("GET", "/")
    assert idle.getresponse().status == 200
    for connection in slow:
        connection.close()


def test_headers_of_a_proxy_are_ignored_without_a_proxy(server: Server) -> None:
    limit, _ = RATE_LIMITS["link"]
    guesses = [
        server.request("GET", "/r/guess/rate", **{"X-Forwarded-For": f"10.0.0.{number}"})[0].status
        for number in range(limit + 1)
    ]
    assert guesses == [404] * limit + [429]


def test_a_form_that_is_cut_off_is_one_line_in_the_log(server: Server) -> None:
    before = server.log.read_text()
    connection = server.open(POST + b"Content-Length: 100\r\n\r\nconsent=yes")
    time.sleep(0.2)
    connection.close()
    for _ in range(100):
        if added := server.log.read_text().removeprefix(before):
            break
        time.sleep(0.05)
    time.sleep(0.2)
    added = server.log.read_text().removeprefix(before)
    assert added.count("\n") == 1
    assert "a request from 127.0.0.1 was cut off" in added


def test_a_proxy_is_believed_if_there_is_one(tmp_path: Path) -> None:
    with running(tmp_path, "--proxy", "--access-code", CODE, "--admin-token", "x" * 16) as server:
        limit, _ = RATE_LIMITS["link"]
        for number in range(limit + 1):
            headers = {"X-Forwarded-For": f"10.0.0.{number}"}
            assert server.request("GET", "/r/guess/rate", **headers)[0].status == 404


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_file_alone_holds_every_answer_after_a_stop(tmp_path: Path, stop: signal.Signals) -> None:
    with running(tmp_path) as server:
        server.answer(3)
        half_sent = server.open(POST + b"Content-Length: 100\r\n\r\nconsent=yes")
        server.process.send_signal(stop)
        assert server.process.wait(timeout=20) == 0
        half_sent.close()
        shutil.copyfile(server.study.database, tmp_path / "copy.db")
    connection = sqlite3.connect(tmp_path / "copy.db")
    assert connection.execute("SELECT count(*) FROM answers").fetchone() == (3,)
    connection.close()
