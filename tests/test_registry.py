"""Parts are found by name: built-in ones first, then those of plugins, with an explanation if one is missing."""

import sys
from pathlib import Path

import pytest

from cmcgan_core.errors import PluginError
from cmcgan_core.registry import Registry, installed_plugins


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that puts a package with entry points on the path: install(name, group, entries, code)."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def put(name: str, group: str, entries: dict[str, str], code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        sys.modules.pop(name, None)

    return put


def losses() -> Registry[object]:
    return Registry("cmcgan.losses", {"l1": "builtin"})


def test_builtins_come_first_and_cannot_be_replaced(install) -> None:
    install("thief", "cmcgan.losses", {"l1": "thief:value", "l7": "thief:value"}, "value = 7\n")
    assert losses().get("l1") == "builtin"
    assert losses().get("l7") == 7
    assert [n for n in losses().names() if n != "smooth_l1"] == ["l1", "l7"]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(PluginError, match=r"^no 'l11' among the losses \(did you mean l1\?\); known: l1"):
        losses().get("l11")


def test_a_broken_plugin_is_reported_with_its_package_and_affects_no_other_part(install) -> None:
    install("broken", "cmcgan.losses", {"bad": "broken:value"}, "import does_not_exist\n")
    with pytest.raises(PluginError, match=r"'bad' of broken 1\.0 does not load: ModuleNotFoundError"):
        losses().get("bad")
    assert losses().get("l1") == "builtin"
    (broken,) = [plugin for plugin in installed_plugins(load=True) if plugin.name == "bad"]
    assert broken.package == "broken 1.0"
    assert "does_not_exist" in (broken.fault or "")


def test_a_name_that_two_packages_provide_is_an_error(install) -> None:
    install("one", "cmcgan.losses", {"same": "one:value"}, "value = 1\n")
    install("two", "cmcgan.losses", {"same": "two:value"}, "value = 2\n")
    with pytest.raises(PluginError, match=r"one 1\.0 and two 1\.0|two 1\.0 and one 1\.0"):
        losses().get("same")


@pytest.mark.parametrize("code", ["import sys; sys.exit(0)", "raise SystemExit", "raise BaseException('odd')"])
def test_a_plugin_that_ends_the_process_is_reported_as_broken(install, cmcgan, code: str) -> None:
    install("leaver", "cmcgan.commands", {"leave": "leaver:value"}, code + "\n")
    code, _, said = cmcgan("leave")
    assert code == 1
    assert "plugin 'leave' of leaver 1.0 does not load" in said
    code, out, _ = cmcgan("plugins", "--check")
    assert code == 1
    assert "leaver 1.0" in out


def test_an_interrupt_while_a_plugin_is_imported_stays_one(install) -> None:
    install("slow", "cmcgan.losses", {"slow": "slow:value"}, "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        losses().get("slow")
