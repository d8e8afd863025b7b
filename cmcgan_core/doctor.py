"""What this machine has, what is wrong with it, and how to mend it."""

import importlib
import importlib.util
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cmcgan_core.errors import CmcganError
from cmcgan_core.registry import installed_plugins
from cmcgan_core.utils.packages import _TORCH_MEND, _version, import_torchaudio

#: Decoders without which common files cannot be read, by PyAV's names.
DECODERS = ("h264", "hevc", "vp9", "aac", "mp3", "opus")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        value: what was found.
        fault: what is wrong, or None.
        mend: what to do about it, or None.
    """

    name: str
    value: str
    fault: str | None = None
    mend: str | None = None


def run_checks() -> list[Finding]:
    """Look at everything that cmcgan needs; a look that fails is a finding too."""
    checks: dict[str, Callable[[], Finding]] = {
        "python": lambda: Finding("python", platform.python_version()),
        "torch": _torch,
        "cuda": _cuda,
        "torchaudio": _torchaudio,
        "av": _av,
        "soundfile": _soundfile,
        "pillow": _pillow,
        "librosa": lambda: _package("librosa", "other representations than the log-mel", optional=True),
        "tensorboard": lambda: _package("tensorboard", "TensorBoard logs", optional=True),
        "onnxruntime": lambda: _package("onnxruntime", "cmcgan export", optional=True),
        "disk": _disk,
        "plugins": _plugins,
    }
    return [_look(name, check) for name, check in checks.items()]


def _look(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:  # a broken package may raise anything
        mend = _TORCH_MEND if name in ("torch", "cuda") else f"pip install --force-reinstall {name}"
        return Finding(name, "broken", f"{type(error).__name__}: {error}", mend)


def _torch() -> Finding:
    import torch

    threads = torch.get_num_threads()
    return Finding("torch", f"{torch.__version__}, {threads} threads of {os.cpu_count()} processors")


def _cuda() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Finding("cuda", f"{torch.version.cuda}: {', '.join(names)}")
    if shutil.which("nvidia-smi") is None:
        return Finding("cuda", "no NVIDIA driver; everything runs on the CPU")
    if torch.version.cuda is None:
        return Finding(
            "cuda", "not used", "there is an NVIDIA driver, but this torch is built without CUDA", _TORCH_MEND
        )
    why = f"torch, built for CUDA {torch.version.cuda}, sees no device: the driver is too old, or the device is hidden"
    return Finding("cuda", "not used", why, "update the NVIDIA driver, or unset CUDA_VISIBLE_DEVICES")


def _torchaudio() -> Finding:
    try:
        import_torchaudio()
    except CmcganError as error:
        return Finding("torchaudio", _version("torchaudio"), str(error).split("; mend it")[0], _TORCH_MEND)
    return Finding("torchaudio", _version("torchaudio"))


def _av() -> Finding:
    if importlib.util.find_spec("av") is None:
        return _missing("av", "video and compressed sound")
    import av

    lacking = [name for name in DECODERS if name not in av.codecs_available]
    fault = f"cannot decode {', '.join(lacking)}" if lacking else None
    return Finding(
        "av", f"{av.__version__}, FFmpeg inside", fault, "pip install --force-reinstall av" if lacking else None
    )


def _soundfile() -> Finding:
    if importlib.util.find_spec("soundfile") is None:
        return _missing("soundfile", "sound files")
    import soundfile

    return Finding("soundfile", f"{soundfile.__version__}, {soundfile.__libsndfile_version__}")


def _pillow() -> Finding:
    if importlib.util.find_spec("PIL") is None:
        return _missing("pillow", "pictures")
    import PIL
    from PIL import features

    lacking = [name for name in ("jpg", "zlib", "webp", "libtiff") if not features.check(name)]
    fault = f"cannot read {', '.join(lacking)}" if lacking else None
    return Finding("pillow", PIL.__version__, fault, "pip install --force-reinstall pillow" if lacking else None)


def _package(name: str, purpose: str, *, optional: bool = False) -> Finding:
    if importlib.util.find_spec(name) is not None:
        return Finding(name, _version(name))
    if optional:
        return Finding(name, f"not installed (optional, for {purpose})")
    return _missing(name, purpose)


def _missing(name: str, purpose: str) -> Finding:
    return Finding(name, "not installed", f"needed for {purpose}", f"pip install {name}")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    scarce = free < 2
    return Finding(
        "disk",
        f"{free:.1f} GiB free here",
        "that is little for a dataset and a run" if scarce else None,
        "free some space, or work elsewhere" if scarce else None,
    )


def _plugins() -> Finding:
    found = installed_plugins()
    faults = [plugin.fault for plugin in found if plugin.fault]
    return Finding(
        "plugins", f"{len(found)} entries", "; ".join(faults) or None, "see: cmcgan plugins" if faults else None
    )
