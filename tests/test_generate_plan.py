from pathlib import Path

import numpy as np
import pytest
from media_fixtures import plain, tone, write_jpg, write_video, write_wav

from cmcgan_core.errors import ConfigError
from cmcgan_core.inference.generate.plan import OutputOptions, Task, plan
from cmcgan_core.inference.inputs import Input, expand
from cmcgan_core.inference.sampling import SamplingOptions
from cmcgan_core.modality import Modality

OUT = Path("made")


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each kind."""
    root = tmp_path_factory.mktemp("media")
    write_wav(root / "short.wav", tone(1))
    write_wav(root / "long.wav", tone(11, rate=8000), rate=8000)
    write_jpg(root / "player.jpg", plain((90, 40, 20)))
    frames = [plain((200, 30, 30))] * 10
    write_video(root / "silent.mp4", frames)
    write_video(root / "muted.mp4", frames, sound=np.zeros(44_100, np.float32))
    write_video(root / "both.mp4", frames, sound=tone(1))
    write_video(root / "no pictures.mp4", [], sound=tone(1))
    (root / "notes.txt").write_text("do re mi")
    (root / "broken.mp4").write_text("not a video")
    return root


def plan_one(media: Path, name: str, output: OutputOptions | None = None, **sampling: float) -> Task:
    (task,) = plan([Input(media / name, Path(name))], OUT, output or OutputOptions(), SamplingOptions(**sampling))  # type: ignore[arg-type]
    return task


def output_names(media: Path, name: str, output: OutputOptions | None = None, **sampling: float) -> list[str]:
    task = plan_one(media, name, output, **sampling)
    assert not task.error
    return [path.relative_to(OUT).as_posix() for path in task.paths]


def test_the_missing_modality_is_generated(media: Path) -> None:
    assert output_names(media, "short.wav") == ["short.png"]
    assert output_names(media, "long.wav") == ["long.mp4"]
    assert output_names(media, "player.jpg") == ["player.wav", "player.lms.png", "player.lms.npy"]
    assert output_names(media, "silent.mp4") == ["silent.soundtrack.mp4"]
    assert output_names(media, "muted.mp4") == ["muted.soundtrack.mp4"]
    assert output_names(media, "no pictures.mp4") == ["no pictures.png"]


def test_a_direction_can_be_chosen(media: Path) -> None:
    assert output_names(media, "both.mp4", OutputOptions(to=Modality.VISUAL)) == ["both.png"]
    assert output_names(media, "both.mp4", OutputOptions(to=Modality.AUDIO)) == ["both.soundtrack.mp4"]
    assert output_names(media, "both.mp4", OutputOptions(repair=True)) == ["both.repaired.mp4"]


def test_a_format_can_be_chosen(media: Path) -> None:
    assert output_names(media, "long.wav", OutputOptions(format="png")) == ["long.png"]
    assert output_names(media, "short.wav", OutputOptions(format="gif")) == ["short.gif"]
    assert output_names(media, "short.wav", OutputOptions(format="png-sequence")) == ["short.frames"]
    assert output_names(media, "player.jpg", OutputOptions(format="flac"))[0] == "player.flac"
    assert output_names(media, "silent.mp4", OutputOptions(format="mkv")) == ["silent.soundtrack.mkv"]


def test_samples_are_numbered_or_in_one_grid(media: Path) -> None:
    assert output_names(media, "long.wav", samples=2) == ["long-1.png", "long-2.png"]
    assert output_names(media, "short.wav", OutputOptions(grid=True), samples=9) == ["short.png"]
    assert len(output_names(media, "player.jpg", samples=2)) == 6
    assert output_names(media, "long.wav", at=3.0) == ["long.png"]


def test_the_name_of_a_single_output_gives_its_format(media: Path) -> None:
    def named(source: str, out: str) -> Task:
        return plan([Input(media / source, Path(source))], Path(out), OutputOptions(), SamplingOptions())[0]

    assert named("short.wav", "made/film.mkv").paths == (Path("made/film.mkv"),)
    assert named("short.wav", "made/film.mkv").route == "film"
    assert named("silent.mp4", "scored.mkv").paths == (Path("scored.mkv"),)
    assert [str(path) for path in named("player.jpg", "x.flac").paths] == ["x.flac", "x.lms.png", "x.lms.npy"]
    for name in ("x.wma", "x.tiff"):
        with pytest.raises(ConfigError, match="cannot be made; possible formats"):
            named("short.wav", name)
    with pytest.raises(ConfigError, match="does not fit the name"):
        plan(
            [Input(media / "short.wav", Path("short.wav"))],
            Path("x.png"),
            OutputOptions(format="gif"),
            SamplingOptions(),
        )
    with pytest.raises(ConfigError, match="name of one result"):
        plan(
            [Input(Path("a.wav"), Path("a.wav")), Input(Path("b.wav"), Path("b.wav"))],
            Path("x.png"),
            OutputOptions(),
            SamplingOptions(),
        )


@pytest.mark.parametrize(
    ("name", "output", "message"),
    [
        ("notes.txt", OutputOptions(), "neither a sound, a picture nor a video"),
        ("broken.mp4", OutputOptions(), "cannot be decoded"),
        ("missing.mp4", OutputOptions(), "no such file"),
        ("both.mp4", OutputOptions(), "has both sound and pictures; choose --to audio (replace its sound by one"),
        ("both.mp4", OutputOptions(), "--to visual (generate pictures or a film from its sound), or --repair (replace"),
        ("short.wav", OutputOptions(to=Modality.AUDIO), "is a sound already"),
        ("player.jpg", OutputOptions(to=Modality.VISUAL), "is a picture already"),
        ("silent.mp4", OutputOptions(to=Modality.VISUAL), "has no sound"),
        ("no pictures.mp4", OutputOptions(to=Modality.AUDIO), "has no pictures"),
        ("silent.mp4", OutputOptions(repair=True), "has no sound"),
        ("short.wav", OutputOptions(repair=True), "is not a video"),
        ("player.jpg", OutputOptions(format="mp4"), "cannot become mp4; possible formats: wav, flac"),
        ("short.wav", OutputOptions(format="wav"), "cannot become wav; possible formats: png"),
        ("silent.mp4", OutputOptions(grid=True), "becomes one film"),
    ],
)
def test_an_impossible_request_names_its_file(media: Path, name: str, output: OutputOptions, message: str) -> None:
    task = plan_one(media, name, output)
    assert task.route is None
    assert task.paths == ()
    assert str(media / name) in task.error
    assert message in task.error


@pytest.mark.parametrize(
    ("output", "sampling"),
    [
        (OutputOptions(repair=True, to=Modality.AUDIO), SamplingOptions()),
        (OutputOptions(repair=True), SamplingOptions(samples=2)),
        (OutputOptions(format="mp4"), SamplingOptions(at=1.0)),
        (OutputOptions(format="gif", grid=True), SamplingOptions()),
        (OutputOptions(format="bmpx"), SamplingOptions()),
    ],
)
def test_contradicting_options_are_refused(output: OutputOptions, sampling: SamplingOptions) -> None:
    with pytest.raises(ConfigError):
        plan([], OUT, output, sampling)


def test_the_structure_of_a_folder_is_kept(tmp_path: Path) -> None:
    for name in ("a/x.wav", "a/b/x.wav"):
        write_wav(tmp_path / name, tone(0.6))
    tasks = plan(expand([str(tmp_path)]), OUT, OutputOptions(), SamplingOptions())
    assert [task.paths for task in tasks] == [(OUT / "a/b/x.png",), (OUT / "a/x.png",)]


def test_names_never_collide(tmp_path: Path) -> None:
    for name in ("x.wav", "x.flac", "y.wav", "X.aiff", "z-1.wav", "z.wav"):
        write_wav(tmp_path / name, tone(0.6)) if name.endswith("wav") else (tmp_path / name).write_bytes(
            (tmp_path / "x.wav").read_bytes()
        )
    names = [task.paths[0].name for task in plan(expand([str(tmp_path)]), OUT, OutputOptions(), SamplingOptions())]
    assert names == ["X.aiff.png", "x.flac.png", "x.wav.png", "y.png", "z-1.png", "z.png"]
    numbered = plan(expand([f"{tmp_path}/z*.wav"]), OUT, OutputOptions(), SamplingOptions(samples=2))
    assert len({path for task in numbered for path in task.paths}) == 4
    first, second = (plan(expand([str(tmp_path)]), OUT, OutputOptions(), SamplingOptions()) for _ in range(2))
    assert first == second


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    write_wav(tmp_path / "same.wav", tone(0.6))
    write_jpg(tmp_path / "same.png", plain((1, 2, 3)))
    inputs = [Input(tmp_path / name, Path(name)) for name in ("same.wav", "same.png")]
    errors = [task.error for task in plan(inputs, tmp_path, OutputOptions(), SamplingOptions())]
    assert all("which is an input" in error for error in errors)
    assert len(plan(inputs, tmp_path / "elsewhere", OutputOptions(), SamplingOptions())) == 2
