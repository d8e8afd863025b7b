"""Fifty raters at once, and a server that is killed twice in the middle."""

import http.client
import sqlite3
import threading
import time
import urllib.parse
from collections import Counter
from pathlib import Path

import pytest
from human_eval_fixtures import free_port, hidden_fields, make_study, start_server

from cmcgan_core.human_eval.store import Store

pytest.importorskip("starlette")
RATERS, QUESTIONS = 50, 8


class Visitor:
    """A rater who records every acknowledged answer, and tries again while the server is down."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = ""
        self.base = ""
        self.acknowledged: dict[int, int] = {}

    def run(self) -> None:
        page = self.keep_requesting("GET", "/")[2]
        _, headers, _ = self.keep_requesting("POST", "/join", {**hidden_fields(page), "consent": "yes"})
        self.base = headers["location"].removesuffix("/sound")
        while len(self.acknowledged) < QUESTIONS:
            fields = hidden_fields(self.keep_requesting("GET", f"{self.base}/rate")[2])
            position = int(fields["position"])
            # If a crash lost the acknowledgement of a stored answer, the server shows a later question.
            for lost in range(len(self.acknowledged), position):
                self.acknowledged[lost] = self.value(lost)
            form = {**fields, "value": str(self.value(position)), "seconds": "1"}
            status, headers, _ = self.keep_requesting("POST", f"{self.base}/answer", form)
            assert (status, headers["location"]) == (303, f"{self.base}/rate")
            self.acknowledged[position] = self.value(position)

    def value(self, position: int) -> int:
        return (hash(self.base) + position) % 3

    def keep_requesting(
        self, method: str, path: str, form: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        """Send a request, again and again like a reloading browser, until the server responds."""
        for _ in range(600):
            try:
                return self.request(method, path, form)
            except (OSError, http.client.HTTPException):
                time.sleep(0.1)
        raise AssertionError("the server does not respond")

    def request(self, method: str, path: str, form: dict[str, str] | None) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Cookie": self.cookie, "Content-Type": "application/x-www-form-urlencoded"}
        body = None if form is None else urllib.parse.urlencode(form)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        if cookie := response.getheader("set-cookie"):
            self.cookie = cookie.split(";")[0]
        connection.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, text


@pytest.mark.slow
def test_no_answer_is_lost_or_doubled_when_the_server_is_killed(tmp_path: Path) -> None:
    study = make_study(tmp_path / "study", pairs=4, per_rater=QUESTIONS - 1, checks_per_rater=1)
    port = free_port()
    server = start_server(study, port)
    visitors = [Visitor(port) for _ in range(RATERS)]
    threads = [threading.Thread(target=visitor.run, daemon=True) for visitor in visitors]
    for thread in threads:
        thread.start()
    kills = 0
    for share in (0.3, 0.6):
        while sum(len(visitor.acknowledged) for visitor in visitors) < share * RATERS * QUESTIONS:
            assert any(thread.is_alive() for thread in threads)
            time.sleep(0.02)
        server.kill()  # SIGKILL
        server.wait()
        kills += 1
        server = start_server(study, port)
    for thread in threads:
        thread.join(timeout=300)
    server.kill()
    server.wait()
    assert kills == 2
    assert all(len(visitor.acknowledged) == QUESTIONS for visitor in visitors)
    store = Store(study)
    for visitor in visitors:
        rater = store.find_rater(visitor.base.removeprefix("/r/"))
        assert rater is not None
        stored = [(a.position, a.value, a.revisions) for a in store.answers() if a.rater == rater.id]
        assert sorted(stored) == sorted((p, value, 1) for p, value in visitor.acknowledged.items())
    counts = Counter(count for _, count in store.ratings_by_item())
    assert max(counts) - min(counts) <= 2  # the items stay balanced
    assert sqlite3.connect(study.database).execute("PRAGMA integrity_check").fetchone() == ("ok",)
