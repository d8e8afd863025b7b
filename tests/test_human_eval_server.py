"""The website of a study: a whole visit, answers that are sent twice, and attacks that must be refused."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from human_eval_fixtures import hidden_fields, make_study

pytest.importorskip("starlette")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient

from cmcgan_core.errors import ConfigError
from cmcgan_core.human_eval import guard
from cmcgan_core.human_eval.guard import RATE_LIMITS, Access
from cmcgan_core.human_eval.server import make_app
from cmcgan_core.human_eval.store import Store
from cmcgan_core.human_eval.study import open_study
from cmcgan_core.web import serving

ADMIN = "a-long-admin-token"
CODE = "cello-4711"
HOME = "http://127.0.0.1:8000"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(make_study(tmp_path / "study", title="Ears & <eyes>", contact="lab", per_rater=4, checks_per_rater=1))


@pytest.fixture
def client(store: Store, tmp_path: Path) -> Iterator[TestClient]:
    app = make_app(open_study(tmp_path / "study"), store, Access(ADMIN, CODE))
    with TestClient(app, base_url=HOME, raise_server_exceptions=False) as client:
        yield client


def begin(client: TestClient) -> str:
    """Consent, skip to the first item, and return the path of the personal link."""
    fields = hidden_fields(client.get("/").text)
    joined = client.post("/join", data={**fields, "consent": "yes", "code": CODE}, follow_redirects=False)
    assert joined.status_code == 303
    base = joined.headers["location"].removesuffix("/sound")
    client.post(f"{base}/start", data=hidden_fields(client.get(f"{base}/training").text))
    return base


def send(client: TestClient, base: str, page: str, value: object, **changes: str) -> Any:
    """Answer the item on a page, and return the response."""
    data = {**hidden_fields(page), "value": str(value), "seconds": "1.25", "replays": "2", **changes}
    return client.post(f"{base}/answer", data=data, follow_redirects=False)


def test_a_whole_visit_ends_with_every_answer_stored(client: TestClient, store: Store) -> None:
    responses = [client.get("/")]
    base = begin(client)
    responses += [client.get(f"{base}{page}") for page in ("/sound", "/training", "/pause")]
    assert client.get(base).url.path == f"{base}/rate"
    for number in range(5):
        page = client.get(f"{base}/rate")
        assert f"Question {number + 1} of 5" in page.text
        media = [client.get(name) for name in re.findall(r'(?:src|data-file)="([^"]+/media/[^"]+)"', page.text)]
        assert {medium.status_code for medium in media} == {200}
        responses += [page, *media]
        assert send(client, base, page.text, 2).headers["location"] == f"{base}/rate"
    responses.append(client.get(f"{base}/rate"))
    assert responses[-1].url.path == f"{base}/thanks"
    answers = store.answers()
    assert [(a.position, a.value, a.seconds, a.replays) for a in answers] == [(i, 2, 1.25, 2) for i in range(5)]
    assert answers[0].rater in responses[-1].text
    for response in responses:
        content = f"{response.url} {response.headers}" + (
            response.text if "text/" in response.headers["content-type"] else ""
        )
        assert not re.search(r"alpha|beta|ground|truth|cello/|flute/|p\d_", content.replace(CODE, ""))


def test_an_answer_is_stored_once_under_double_clicks_reloads_and_two_tabs(client: TestClient, store: Store) -> None:
    base = begin(client)
    first_tab = second_tab = client.get(f"{base}/rate").text
    for _ in range(3):  # a double click, and a reload that sends the form again
        assert send(client, base, first_tab, 1).headers["location"] == f"{base}/rate"
    late = send(client, base, second_tab, 0)
    assert late.headers["location"] == f"{base}/rate?late"
    assert "another tab" in client.get(late.headers["location"]).text
    assert [(a.position, a.value, a.revisions) for a in store.answers()] == [(0, 1, 1)]
    assert "Question 2 of 5" in client.get(f"{base}/rate").text


def test_the_last_answer_can_be_corrected(client: TestClient, store: Store) -> None:
    base = begin(client)
    send(client, base, client.get(f"{base}/rate").text, 1)
    page = client.get(f"{base}/back").text
    assert "It was: Acceptable" in page
    assert re.search(r'value="1"[^>]*aria-pressed="true"', page)
    send(client, base, page, 2)
    assert [(a.position, a.value, a.revisions) for a in store.answers()] == [(0, 2, 2)]


def test_titles_are_text_and_languages_can_be_chosen(client: TestClient) -> None:
    assert "Ears &amp; &lt;eyes&gt;" in client.get("/").text
    german = client.get("/?language=de").text
    assert '<html lang="de">' in german
    assert "Zugangscode" in german
    assert '<html lang="en">' in client.get("/?language=<script>").text


def test_the_admin_sees_progress_by_item_and_model(client: TestClient) -> None:
    base = begin(client)
    for _ in range(5):
        send(client, base, client.get(f"{base}/rate").text, 2)
    page = client.post("/admin/login", data={**hidden_fields(client.get("/admin").text), "token": ADMIN}).text
    assert "1 have answered, 1 finished" in page
    assert re.search(r"<td>(picture|sound)</td><td>\d</td><td>[IS]-AST</td><td>1.000</td>", page)
    table = client.get("/admin/answers.csv")
    assert table.text.count("\n") == 6
    assert len(client.get("/admin/answers.json").json()) == 5
    assert "attachment" in table.headers["content-disposition"]


def test_every_response_has_safe_headers(client: TestClient) -> None:
    base = begin(client)
    for path in ("/", "/nothing", f"{base}/rate", f"{base}/media/x", "/static/style.css", "/admin", "/r/x/answer"):
        headers = client.get(path, follow_redirects=False).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert "set-cookie" not in headers or {"HttpOnly", "SameSite=lax"} <= set(headers["set-cookie"].split("; "))
    assert "no-store" in client.get(f"{base}/rate").headers["cache-control"]


def test_pages_have_no_inline_script_and_contact_no_other_host(client: TestClient) -> None:
    base = begin(client)
    for page in ("/", f"{base}/sound", f"{base}/training", f"{base}/rate", f"{base}/pause", "/admin"):
        text = client.get(page).text.replace(HOME, "")
        assert "built-in" not in text  # a template that printed a method of a dictionary
        assert not re.search(r"<script(?! src=\"/static/)|<style| on\w+=|style=|https?://", text)


def attack_forged_form(client: TestClient, base: str) -> set[int]:
    page = hidden_fields(client.get(f"{base}/rate").text)
    answers = [
        client.post(f"{base}/answer", data={**page, "form_token": "0" * 64, "value": "1"}),
        client.post(f"{base}/answer", data={"position": "0", "revision": "0", "value": "1"}),
    ]
    return {answer.status_code for answer in answers}


def attack_form_of_another_site(client: TestClient, base: str) -> set[int]:
    data = {**hidden_fields(client.get(f"{base}/rate").text), "value": "1"}
    headers = ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"})
    return {client.post(f"{base}/answer", data=data, headers=header).status_code for header in headers}


def attack_form_token_of_somebody_else(client: TestClient, base: str) -> set[int]:
    page = hidden_fields(client.get(f"{base}/rate").text)
    client.cookies.clear()
    client.get("/")  # another visitor, with another cookie
    return {client.post(f"{base}/answer", data={**page, "value": "1"}).status_code}


def attack_paths(client: TestClient, base: str) -> set[int]:
    names = (
        "../study.db",
        "..%2fstudy.db",
        "%2e%2e/%2e%2e/study.toml",
        "/etc/passwd",
        "..%5cstudy.db",
        "study.db%00.png",
    )
    paths = [f"{prefix}/{name}" for prefix in (f"{base}/media", "/static") for name in names]
    return {client.get(path).status_code for path in paths}


def attack_guessed_link(client: TestClient, base: str) -> set[int]:
    links = ("/r/guess/rate", "/r/' OR '1'='1/rate", f"{base}x/rate", "/r/%00/rate")
    return {client.get(link).status_code for link in links}


def attack_large_and_strange_bodies(client: TestClient, base: str) -> set[int]:
    form = {"content-type": "application/x-www-form-urlencoded"}
    return {
        client.post(f"{base}/answer", content=b"a=" + b"x" * 1_000_000, headers=form).status_code,
        client.post(f"{base}/answer", content=(b"x" * 1000 for _ in range(100)), headers=form).status_code,
        client.post(f"{base}/answer", json={"value": 1}).status_code,
        client.post("/join", files={"consent": b"yes"}).status_code,
        client.post("/join", content=b"&".join(b"a%d=1" % i for i in range(500)), headers=form).status_code,
        client.post("/join", content=b"\xff\xfe", headers=form).status_code,
    }


def attack_strange_answers(client: TestClient, base: str) -> set[int]:
    page = client.get(f"{base}/rate").text
    values = ("9", "-1", "1e3", "", "1; DROP TABLE answers", "٣", "1" * 400)
    statuses = {send(client, base, page, value).status_code for value in values}
    return statuses | {send(client, base, page, 1, position="-1").status_code}


def attack_other_hosts_name(client: TestClient, base: str) -> set[int]:
    return {client.get("/", headers={"host": host}).status_code for host in ("evil.example", "127.0.0.1.evil.example")}


def attack_admin_pages(client: TestClient, base: str) -> set[int]:
    assert ADMIN not in client.get("/admin").text
    client.cookies.set("cmcgan_admin", "0" * 64)
    statuses = {
        client.get(f"/admin/answers.{kind}", follow_redirects=False).status_code for kind in ("csv", "json", "db")
    }
    wrong = client.post("/admin/login", data={**hidden_fields(client.get("/admin").text), "token": "guess"})
    return statuses - {303} | {wrong.status_code}


def attack_methods(client: TestClient, base: str) -> set[int]:
    calls = (("DELETE", f"{base}/answer"), ("PUT", f"{base}/rate"), ("GET", f"{base}/answer"), ("POST", "/admin"))
    return {client.request(method, path).status_code for method, path in calls}


def attack_without_code_or_consent(client: TestClient, base: str) -> set[int]:
    page = hidden_fields(client.get("/").text)
    without_code = client.post("/join", data={**page, "consent": "yes", "code": "guess"})
    without_consent = client.post("/join", data={**page, "code": CODE})
    return {without_code.status_code, without_consent.status_code}


@pytest.mark.parametrize(
    ("attack", "refusals"),
    [
        (attack_forged_form, {403}),
        (attack_form_of_another_site, {403}),
        (attack_form_token_of_somebody_else, {403}),
        (attack_paths, {404}),
        (attack_guessed_link, {404}),
        (attack_large_and_strange_bodies, {400, 403, 413, 415}),
        (attack_strange_answers, {400}),
        (attack_other_hosts_name, {400}),
        (attack_admin_pages, {403}),
        (attack_methods, {405}),
        (attack_without_code_or_consent, {400, 403}),
    ],
)
def test_attacks_are_refused_and_leave_no_answer(
    client: TestClient, store: Store, attack: Any, refusals: set[int]
) -> None:
    base = begin(client)
    raters = len(store.answers_by_rater())
    statuses = attack(client, base)
    assert statuses
    assert statuses <= refusals
    assert store.answers() == []
    assert len(store.answers_by_rater()) == raters


def test_guessers_are_refused_and_right_codes_links_and_tokens_always_pass(client: TestClient) -> None:
    base = begin(client)
    page = hidden_fields(client.get("/").text)

    def post(path: str, **fields: str) -> int:
        return client.post(path, data={**page, "consent": "yes", **fields}, follow_redirects=False).status_code

    guesses = {
        "code": (lambda number: post("/join", code=f"g{number}"), 403),
        "admin": (lambda number: post("/admin/login", token=f"g{number}"), 403),
        "link": (lambda number: client.get(f"/r/g{number}/rate").status_code, 404),
    }
    for kind, (guess, refusal) in guesses.items():  # each is counted apart
        limit, _ = RATE_LIMITS[kind]
        assert [guess(number) for number in range(limit + 1)] == [refusal] * limit + [429]
    # The rater, the next rater and the admin have the same address as the guesser.
    assert client.get(f"{base}/rate").status_code == 200
    assert post("/join", code=CODE) == 303
    assert post("/admin/login", token=ADMIN) == 303


def test_a_wrong_code_and_a_wrong_token_are_named(client: TestClient) -> None:
    page = hidden_fields(client.get("/").text)
    wrong_code = client.post("/join", data={**page, "consent": "yes", "code": "guess"}).text
    wrong_token = client.post("/admin/login", data={**page, "token": "guess"}).text
    old_page = client.post("/admin/login", data={"form_token": "old", "token": ADMIN}).text
    assert "The access code is wrong" in wrong_code
    assert "The admin token is wrong" in wrong_token
    assert "The page has expired" in old_page
    assert "expired" not in wrong_code + wrong_token


def test_a_class_of_150_joins_from_one_address_in_a_minute(client: TestClient, store: Store) -> None:
    store._writer.execute("PRAGMA synchronous=OFF")  # this test is about limits, not about the disk
    for _ in range(150):
        client.cookies.clear()
        join = {**hidden_fields(client.get("/").text), "consent": "yes", "code": CODE}
        assert client.post("/join", data=join, follow_redirects=False).status_code == 303


def test_hosts_are_addresses_and_names_that_were_given(store: Store, tmp_path: Path) -> None:
    study = open_study(tmp_path / "study")
    app = make_app(study, store, Access(ADMIN, CODE, frozenset({"study.example.org"})))
    client = TestClient(app, base_url="http://study.example.org")
    link = f"/r/{store.add_rater('en')}/pause"
    for host in ("study.example.org:8000", "STUDY.example.org", "192.168.1.5:8000", "[fe80::1]:8000"):
        assert client.get("/", headers={"host": host}).status_code == 200
        assert f'value="http://{host}/r/' in client.get(link, headers={"host": host}).text
    for host in ("evil.example", "study.example.org.evil.example", "study.example.org@evil.example:80", "", "[::1"):
        refused = client.get(link, headers={"host": host})
        assert (refused.status_code, "serve" in refused.text, "value=" in refused.text) == (400, True, False)


def test_redirects_are_relative(client: TestClient) -> None:
    base = begin(client)
    for path in (base, f"{base}/thanks", "/admin/answers.csv", "/admin/", f"{base}/"):
        response = client.get(path, follow_redirects=False)
        assert response.headers.get("location", "/")[:2] not in ("//", "ht")


def test_an_admin_cookie_differs_by_login_and_ends(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def log_in() -> str:
        client.cookies.clear()
        form = {**hidden_fields(client.get("/admin").text), "token": ADMIN}
        return client.post("/admin/login", data=form, follow_redirects=False).cookies["cmcgan_admin"]

    def is_admin(cookie: str) -> bool:
        client.cookies.clear()
        client.cookies.set("cmcgan_admin", cookie)
        return "have answered" in client.get("/admin").text

    first, second = log_in(), log_in()
    assert first != second
    nonce, end, signature = first.split(".")
    monkeypatch.setattr(guard, "ADMIN_SECONDS", -1)
    ended = log_in()
    assert [is_admin(cookie) for cookie in (first, second, ended)] == [True, True, False]
    later = str(int(end) + 9)
    forged = (f"{nonce}.{later}.{signature}", f"x.{end}.{signature}", f"{nonce}.x.{signature}", f"..{signature}", "..")
    assert not any(is_admin(cookie) for cookie in forged)


def test_one_rater_cannot_keep_the_server_busy(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    base = begin(client)
    monkeypatch.setitem(RATE_LIMITS, "rater", (20, 60.0))
    statuses = {client.get(f"{base}/pause").status_code for _ in range(25)}
    assert statuses == {200, 429}


def test_sounds_can_be_requested_in_parts_as_phones_do(client: TestClient) -> None:
    base = begin(client)
    name = re.search(r'src="([^"]+\.?[^"]*\.wav)"', client.get(f"{base}/sound").text)
    assert name is not None
    part = client.get(name[1], headers={"range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"RIFF")


@pytest.mark.parametrize("windows", [True, False])
def test_the_port_of_another_program_is_named(monkeypatch: pytest.MonkeyPatch, windows: bool) -> None:
    """On Windows, SO_REUSEADDR would allow such a port."""
    options: list[int] = []
    monkeypatch.setattr(socket.socket, "setsockopt", lambda *given: options.append(given[2]), raising=False)
    monkeypatch.setattr(serving, "WINDOWS", windows)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigError, match=r"port \d+ cannot be used \(address already in use\)"):
            serving.require_free_port("127.0.0.1", other.getsockname()[1])
    assert options == ([] if windows else [socket.SO_REUSEADDR])
