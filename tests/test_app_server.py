"""The website of `cmcgan app`: what a visitor gets for each kind of file, and requests that must be refused."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from app_fixtures import open_app
from human_eval_fixtures import free_port
from media_fixtures import plain, tone, write_jpg, write_video, write_wav

pytest.importorskip("httpx2")

from starlette.testclient import TestClient

from cmcgan_core.app import jobs, server
from cmcgan_core.inference.generate.batch import generate_file
from cmcgan_core.inference.generate.plan import OutputOptions
from cmcgan_core.inference.model import load
from cmcgan_core.inference.routes import Format
from cmcgan_core.inference.sampling import SamplingOptions

HOME = "http://127.0.0.1:8000"


@pytest.fixture
def client(tiny_run: Path, tmp_path: Path) -> Iterator[TestClient]:
    folder = tmp_path / "jobs"
    folder.mkdir()
    with open_app(tiny_run, folder) as app, TestClient(app, base_url=HOME, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "a tone.wav", tone(1.0, 440))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    return write_jpg(tmp_path / "player.png", plain((200, 60, 60)))


def send(client: TestClient, file: Path, action: str, content: bytes | None = None, **changes: Any) -> Any:
    """Order something, and return the response."""
    model = changes.pop("model", re.findall("<option>(.*?)</option>", client.get("/").text)[0])
    order = {"action": action, "name": file.name, "model": model, "samples": 1, "seed": 7, "seconds": 0.5, **changes}
    return client.post("/jobs", params={"order": json.dumps(order)}, content=content or file.read_bytes())


def finish(client: TestClient, response: Any, language: str = "en") -> str:
    """Wait until an order is done, and return its card."""
    assert response.status_code == 200, response.text
    job = re.search('data-job="(.*?)"', response.text)
    assert job is not None
    for _ in range(3000):
        card = str(client.get(f"/jobs/{job[1]}", params={"language": language}).text)
        if "data-final" in card:
            return card
        time.sleep(0.01)
    raise AssertionError(card)


def media_of(card: str) -> list[str]:
    """Return the addresses of the sounds, pictures and films on a card, without the given file."""
    addresses: list[str] = re.findall('(?:audio|img|video)[^>]*src="(.*?)"', card)
    return addresses[1:]


def test_a_sound_becomes_the_pictures_that_generate_makes(
    client: TestClient, sound: Path, tiny_run: Path, tmp_path: Path
) -> None:
    card = finish(client, send(client, sound, "pictures", samples=3))
    shown = [client.get(address).content for address in media_of(card)]
    sampling, output = SamplingOptions(samples=3, seed=7), OutputOptions(format=Format.PNG)
    made = generate_file(load(tiny_run).trained, sound, tmp_path / "made", sampling, output)
    assert shown == [path.read_bytes() for path in made.outputs]
    assert len(shown) == 3
    assert re.findall('data-seed="(.*?)"', card) == ["7", "8", "9"]
    assert "Most likely: " in card


def test_a_picture_becomes_a_sound_with_its_spectrogram(client: TestClient, picture: Path) -> None:
    card = finish(client, send(client, picture, "sounds", seconds=2))
    heard, spectrogram = media_of(card)
    waveform, rate = soundfile.read(io.BytesIO(client.get(heard).content))
    assert len(waveform) / rate == 2
    assert client.get(spectrogram).headers["content-type"] == "image/png"
    part = client.get(heard, headers={"range": "bytes=0-3"})  # as phones request it
    assert (part.status_code, part.content) == (206, b"RIFF")


def test_films_are_made_both_ways(client: TestClient, sound: Path, tmp_path: Path) -> None:
    film = write_video(tmp_path / "silent.mp4", [plain((9, 9, 200))] * 10)
    for file, action, name in ((sound, "film", "a tone.mp4"), (film, "soundtrack", "silent.soundtrack.mp4")):
        card = finish(client, send(client, file, action))
        assert f'download="{name}"' in card
        (address,) = media_of(card)
        assert client.get(address).headers["content-type"] == "video/mp4"


def test_everything_can_be_downloaded_at_once(client: TestClient, picture: Path) -> None:
    card = finish(client, send(client, picture, "sounds"))
    address = re.search('href="(.*?all.zip)"', card)
    assert address is not None
    with zipfile.ZipFile(io.BytesIO(client.get(address[1]).content)) as archive:
        assert archive.testzip() is None
        files = [name for name in archive.namelist() if not name.endswith("/")]
    assert files == ["given/player.png", "made/player.lms.npy", "made/player.lms.png", "made/player.wav"]


def test_classes_are_shown_with_their_probabilities(client: TestClient, sound: Path, tmp_path: Path) -> None:
    card = finish(client, send(client, sound, "classify"))
    assert set(re.findall('<th scope="row">(.*?)</th>', card)) == {"cello", "flute", "tuba"}
    assert sum(map(float, re.findall(r"([\d.]+) %", card))) == pytest.approx(100, abs=0.2)
    silence = write_wav(tmp_path / "silence.wav", np.zeros(44_100, np.float32))
    for action in ("classify", "pictures"):
        assert "The sound is silent" in finish(client, send(client, silence, action))


def test_a_folder_is_searched_only_if_it_was_named(
    tiny_run: Path, tmp_path: Path, sound: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMCGAN_INDEX", str(tmp_path / "index"))
    shelf = tmp_path / "shelf"
    write_jpg(shelf / "blue.png", plain((0, 0, 200)))
    for searched in ((), (str(shelf),)):
        (tmp_path / "jobs").mkdir(exist_ok=True)
        with open_app(tiny_run, tmp_path / "jobs", searched) as app, TestClient(app, base_url=HOME) as client:
            assert ('value="retrieve"' in client.get("/").text) == bool(searched)
            response = send(client, sound, "retrieve")
            if not searched:
                assert response.status_code == 400
                continue
            card = finish(client, response)
            assert "blue.png" in card
            assert client.get(media_of(card)[0]).content == (shelf / "blue.png").read_bytes()


def test_a_file_that_cannot_be_used_is_named_without_the_folder_of_the_server(
    client: TestClient, sound: Path, tmp_path: Path
) -> None:
    card = finish(client, send(client, sound, "pictures", content=b"no sound"))
    assert "a tone.wav: " in card
    assert str(tmp_path) not in card
    assert "none of the models" in finish(client, send(client, sound, "pictures", model="../secret"))


def test_the_language_is_that_of_the_browser_or_of_the_link(client: TestClient, sound: Path) -> None:
    assert '<html lang="de">' in client.get("/", headers={"accept-language": "fr-FR,de-AT;q=0.5"}).text
    assert '<html lang="en">' in client.get("/", headers={"accept-language": "fr"}).text
    assert '<html lang="en">' in client.get("/?language=en", headers={"accept-language": "de"}).text
    assert "Bilder zu a tone.wav" in finish(client, send(client, sound, "pictures"), "de")


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "format-disk"},
        {"action": "sounds"},  # of a sound
        {"name": "../a.wav"},
        {"name": "a.exe"},
        {"name": "a\0.wav"},
        {"samples": 17},
        {"samples": "1"},
        {"seed": -1},
        {"seconds": 3600},
        {"shell": "ls"},
    ],
    ids=str,
)
def test_orders_that_are_not_valid_are_refused(
    client: TestClient, sound: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    response = send(client, sound, **{"action": "pictures", **changes})
    assert response.status_code == 422
    assert response.text
    assert list((tmp_path / "jobs").iterdir()) == []


def test_requests_of_other_pages_and_for_other_hosts_are_refused(client: TestClient, sound: Path) -> None:
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert client.post("/jobs", headers=headers).status_code == 403
        assert client.post("/jobs/x/cancel", headers=headers).status_code == 403
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    for path in ("/jobs/x", "/jobs/x/files/0", "/jobs/x/all.zip", "/static/../server.py", "/nothing"):
        assert client.get(path).status_code == 404
    job = re.search('data-job="(.*?)"', finish(client, send(client, sound, "pictures")))
    assert job is not None
    assert client.get(f"/jobs/{job[1]}/files/99").status_code == 404


def test_the_page_may_record_and_preview_but_loads_nothing_from_elsewhere(client: TestClient) -> None:
    response = client.get("/")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "blob:" in policy
    assert "microphone=(self)" in response.headers["permissions-policy"]
    assert not re.search(r"https?://", response.text)


def test_a_file_that_is_too_large_is_refused_and_not_kept(
    client: TestClient, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MAX_UPLOAD_BYTES", 1000)
    response = send(client, sound, "pictures")
    assert (response.status_code, response.text) == (413, "The file is too large.")
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_full_queue_says_so(client: TestClient, sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_WAITING", 0)
    response = send(client, sound, "pictures")
    assert (response.status_code, "Too many jobs" in response.text) == (503, True)


def test_the_page_is_served_before_torch_is_imported() -> None:
    code = "import sys, cmcgan_core.app.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_command_serves_the_page_and_deletes_the_results_at_the_end(tiny_run: Path, tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "cmcgan_cli", "app", "--checkpoint", str(tiny_run), "--port", str(port)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"http://127.0.0.1:{port}/\n"
        for _ in range(300):
            try:
                page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read().decode()
                break
            except OSError:
                time.sleep(0.1)
        assert str(tiny_run) in page
        assert [path.name[:11] for path in tmp_path.iterdir()] == ["cmcgan-app-"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert list(tmp_path.iterdir()) == []
    finally:
        process.kill()
        process.communicate()
