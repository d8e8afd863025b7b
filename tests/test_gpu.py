"""Tests that need a CUDA device; run them with: pytest -m gpu -n 0."""

from pathlib import Path

import pytest
import torch
from conftest import tiny_config
from test_cm_gans import tiny as tiny_cm_gans
from test_device_waits import RECIPES

from cmcgan_core.checkpoint import load_checkpoint
from cmcgan_core.data.dataset import open_dataset
from cmcgan_core.data.loader import in_order
from cmcgan_core.evaluation.evaluate import evaluate
from cmcgan_core.experiments.recipes import load_study
from cmcgan_core.experiments.study import run_study
from cmcgan_core.inference.retrieve.embedding import require_embedder
from cmcgan_core.inference.translate import require_translator
from cmcgan_core.modality import Direction, Modality
from cmcgan_core.run_folder import read_about
from cmcgan_core.training.run import Run
from cmcgan_core.training.train import train_run

pytestmark = pytest.mark.gpu
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _needs_cuda() -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_a_run_trains_on_cuda_and_resumes_there(prepared: Path, tmp_path: Path, precision: str) -> None:
    config = tiny_config(f"train.precision={precision}", "train.epochs=10")
    result = train_run(config, open_dataset(prepared), tmp_path / "run", device="cuda")
    assert result.losses["class"] < 1.0
    train_run(config, open_dataset(prepared), tmp_path / "run", device="cuda", resume=True)
    assert read_about(tmp_path / "run" / "last.safetensors").finished
    assert evaluate(tmp_path / "run", open_dataset(prepared), device="cuda").pairs["test"] == 12


def test_cuda_generates_what_the_cpu_generates(prepared: Path, tiny_run: Path) -> None:
    made = []
    for device in (CPU, CUDA):
        trained = load_checkpoint(tiny_run / "last.safetensors", device)
        batch = next(in_order(open_dataset(prepared).split("test"), trained.about.config.network, 4, device))
        rng = torch.Generator().manual_seed(0)
        with torch.inference_mode():
            network = require_translator(trained)
            made.append(network.translate(Direction.A2V, batch.audio, network.draw(len(batch.audio), rng)).cpu())
    torch.testing.assert_close(made[0], made[1], atol=1e-3, rtol=1e-3)


def test_cuda_makes_films_and_soundtracks(tiny_run: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    from media_fixtures import plain, tone, write_video, write_wav

    from cmcgan_core.inference.generate.batch import generate_file
    from cmcgan_core.inference.generate.plan import OutputOptions
    from cmcgan_core.inference.routes import Format
    from cmcgan_core.media import film

    sources = [
        write_wav(tmp_path / "song.wav", tone(3)),
        write_video(tmp_path / "silent.mp4", [plain((9, 200, 9))] * 30),
    ]
    for device in (CPU, CUDA):
        trained = load_checkpoint(tiny_run / "last.safetensors", device)
        for source in sources:
            output = OutputOptions(format=Format.MKV)
            assert generate_file(trained, source, tmp_path / device.type, output=output).outputs[0].exists()
    for name in ("song.mkv", "silent.soundtrack.mkv"):
        cpu, cuda = (film.probe(tmp_path / device.type / name) for device in (CPU, CUDA))
        assert [track.seconds for track in cpu] == [track.seconds for track in cuda]


def test_a_checkpoint_of_cuda_is_read_on_the_cpu(prepared: Path, tmp_path: Path) -> None:
    config = tiny_config("train.epochs=1")
    train_run(config, open_dataset(prepared), tmp_path / "run", device="cuda")
    last = tmp_path / "run" / "last.safetensors"
    trained = load_checkpoint(last, CPU)
    assert trained.about == read_about(last)
    assert all(p.device == CPU for p in trained.network.parameters())


def test_a_study_is_planned_and_judged_on_cuda(prepared: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text('title = "Tiny"\nseconds = 0.5\nseeds = [0]\n[rows.tiny]\npreset = "tiny"\n')
    found = run_study(load_study(file), open_dataset(prepared), tmp_path / "out", latents=1, device="cuda")
    (group,) = found.compared.groups
    assert group.steps == found.steps["tiny"]
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"S2I.png", "I2S.png"}


def test_cm_gans_train_on_cuda_and_embed_as_on_the_cpu(prepared: Path, tmp_path: Path) -> None:
    last = train_run(tiny_cm_gans(), open_dataset(prepared), tmp_path / "run", device="cuda").out / "last.safetensors"
    embedded = []
    for device in (CPU, CUDA):
        trained = load_checkpoint(last, device)
        batch = next(in_order(open_dataset(prepared).split("test"), trained.about.config.network, 4, device))
        with torch.inference_mode():
            embedded.append(require_embedder(trained).embed(Modality.AUDIO, batch.audio).cpu())
    torch.testing.assert_close(embedded[0], embedded[1], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_never_waits_for_the_gpu(prepared: Path, tmp_path: Path, name: str) -> None:
    run = Run(RECIPES[name], open_dataset(prepared), tmp_path, CUDA)
    first = run.pretraining_steps
    for done, last in ((0, first), (first, first + 4)):
        steps = run.fit(done, last)
        next(steps, None)  # the first step allocates memory and chooses kernels, and may wait
        torch.cuda.set_sync_debug_mode("error")
        try:
            assert sum(1 for _ in steps) == max(0, last - done - 1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
