"""Helpers without domain knowledge: settings schemas, TOML, explained errors, optional packages."""

import importlib
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest
import torch

from cmcgan_core.errors import ConfigError, DataError, TrainingError
from cmcgan_core.utils.device import choose_device
from cmcgan_core.utils.files import error_reason, explain_write_errors
from cmcgan_core.utils.packages import import_torchaudio
from cmcgan_core.utils.schema import build, parse_json
from cmcgan_core.utils.toml import dump_toml


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Paint:
    colour: Colour
    others: tuple[Colour, ...] = ()


def test_enum_settings_are_built_from_their_values() -> None:
    paint = build(Paint, {"colour": "blue", "others": ["red", Colour.BLUE]}, "paint")
    assert paint == Paint(Colour.BLUE, (Colour.RED, Colour.BLUE))
    assert all(isinstance(colour, Colour) for colour in (paint.colour, *paint.others))


@pytest.mark.parametrize("value", ["green", 3, None, ["red"]])
def test_other_values_of_an_enum_are_listed_as_faults(value: object) -> None:
    with pytest.raises(ConfigError, match=r"(?s)paint is not .*  colour: should be one of 'red', 'blue', not "):
        build(Paint, {"colour": value}, "paint")
    with pytest.raises(ConfigError, match=r"others\[1\]: should be one of 'red', 'blue', not "):
        build(Paint, {"colour": "red", "others": ["red", value]}, "paint")


def test_none_is_left_out_of_toml_at_every_depth() -> None:
    table = {"a": None, "b": 1, "inner": {"c": None, "d": {"e": None}}, "colour": Colour.RED, "pair": (1, 2)}
    assert tomllib.loads(dump_toml(table)) == {"b": 1, "inner": {"d": {}}, "colour": "red", "pair": [1, 2]}


@pytest.mark.parametrize("error_type", [DataError, TrainingError])
def test_a_failure_to_write_names_the_path_and_the_next_step(
    tmp_path: Path, error_type: type[DataError | TrainingError]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    path = tmp_path / "file" / "inner.txt"
    with (
        pytest.raises(error_type, match=r"inner\.txt cannot be written \(not a directory\).*then run it again"),
        explain_write_errors(path, error_type, "run it again"),
    ):
        path.write_text("text")


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(ValueError, match=r"^mine$"), explain_write_errors(Path("a"), DataError, "run it again"):
        raise ValueError("mine")


def test_the_reason_of_an_error_is_its_description_without_the_path() -> None:
    assert error_reason(PermissionError(13, "Permission denied", "a.wav")) == "permission denied"
    assert error_reason(ValueError("Error opening 'a.wav': broken"), Path("a.wav")) == "error opening: broken"
    assert error_reason(OverflowError()) == "OverflowError"


@pytest.mark.parametrize("error", [OSError("libcudart.so.12: cannot open"), ImportError("No module"), RuntimeError()])
def test_a_torchaudio_that_does_not_load_is_explained(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", fails)
    reason = error_reason(error)
    with pytest.raises(ConfigError, match=rf"torchaudio .* does not work with torch .*{reason}.*pip install") as caught:
        import_torchaudio()
    assert "torchaudio>=2.11,<2.12" in str(caught.value)


@pytest.mark.parametrize("text", ["", "7", "[]", "{", "[" * 100_000, '{"a":' * 100_000, '{"a": ' + "9" * 500 + "}"])
def test_json_that_is_no_plain_object_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)
    assert parse_json('{"a": [1, {"b": 2.5}]}') == {"a": [1, {"b": 2.5}]}


def test_the_gpu_of_an_apple_computer_is_used_only_if_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert (choose_device("auto").type, choose_device("mps").type) == ("cpu", "mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="--device 'mps': torch finds no Apple GPU; take auto, cpu or cuda"):
        choose_device("mps")
