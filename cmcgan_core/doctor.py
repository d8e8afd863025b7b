"""Check the installation: packages, devices, codecs, disk space and plugins."""

import importlib.util
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cmcgan_core.errors import CmcganError
from cmcgan_core.registry import installed_plugins
from cmcgan_core.utils.cluster import connect
from cmcgan_core.utils.packages import TORCH_REPAIR_COMMAND, import_torchaudio, package_version

#: Decoders that common files need, by PyAV's names.
DECODERS = ("h264", "hevc", "vp9", "aac", "mp3", "opus")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: what was checked.
        value: what was found, usually a version.
        fault: what is wrong, or None.
        fix: how to fix it, or None.
    """

    name: str
    value: str
    fault: str | None = None
    fix: str | None = None


def run_checks(scheduler: str | None = None) -> list[Finding]:
    """Run all checks. A check that raises is reported as a finding too.

    Args:
        scheduler: the address of a Dask scheduler, whose workers are checked too; see `utils.cluster.connect`.
    """
    checks: dict[str, Callable[[], Finding]] = {
        "python": lambda: Finding("python", platform.python_version()),
        "torch": _torch,
        "cuda": _cuda,
        "torchaudio": _torchaudio,
        "av": _av,
        "soundfile": _soundfile,
        "pillow": _pillow,
        "librosa": lambda: _package("librosa", "the CQT representation", optional=True),
        "tensorboard": lambda: _package("tensorboard", "TensorBoard logs", optional=True),
        "wandb": lambda: _package("wandb", "train --log wandb", optional=True),
        "mlflow": lambda: _package("mlflow", "train --log mlflow", optional=True),
        "matplotlib": lambda: _package("matplotlib", "evaluate --report", optional=True),
        "onnxruntime": lambda: _package("onnxruntime", "cmcgan export", optional=True),
        "pyarrow": lambda: _package("pyarrow", "cmcgan export-data --to hf", optional=True),
        "huggingface_hub": lambda: _package("huggingface_hub", "models of the Hugging Face Hub", optional=True),
        "distributed": lambda: _package("distributed", "--scheduler", optional=True),
        "disk": _disk,
        "plugins": _plugins,
    }
    if scheduler is not None:
        checks["workers"] = lambda: _workers(scheduler)
    return [_run_check(name, check) for name, check in checks.items()]


def _run_check(name: str, check: Callable[[], Finding]) -> Finding:
    """Return what a check finds, or a finding that reports its exception."""
    try:
        return check()
    except Exception as error:  # a broken package may raise anything
        fix = TORCH_REPAIR_COMMAND if name in ("torch", "cuda") else f"pip install --force-reinstall {name}"
        return Finding(name, "broken", f"{type(error).__name__}: {error}", fix)


def _torch() -> Finding:
    """Report the version of torch and its number of threads."""
    import torch

    threads = torch.get_num_threads()
    return Finding("torch", f"{torch.__version__}, {threads} threads of {os.cpu_count()} processors")


def _cuda() -> Finding:
    """Check whether torch can use a GPU; a machine without an NVIDIA driver is not a fault."""
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Finding("cuda", f"{torch.version.cuda}: {', '.join(names)}")
    if shutil.which("nvidia-smi") is None:
        return Finding("cuda", "no NVIDIA driver; everything runs on the CPU")
    if torch.version.cuda is None:
        return Finding(
            "cuda", "not used", "there is an NVIDIA driver, but this torch is built without CUDA", TORCH_REPAIR_COMMAND
        )
    fault = f"torch, built for CUDA {torch.version.cuda}, finds no GPU: the driver is too old, or the GPU is hidden"
    return Finding("cuda", "not used", fault, "update the NVIDIA driver, or unset CUDA_VISIBLE_DEVICES")


def _torchaudio() -> Finding:
    """Check that torchaudio works with the installed torch."""
    try:
        import_torchaudio()
    except CmcganError as error:
        return Finding(
            "torchaudio", package_version("torchaudio"), str(error).split("; fix it")[0], TORCH_REPAIR_COMMAND
        )
    return Finding("torchaudio", package_version("torchaudio"))


def _av() -> Finding:
    """Check that PyAV is installed and can decode common formats."""
    if importlib.util.find_spec("av") is None:
        return _missing("av", "video and compressed sound")
    import av

    lacking = [name for name in DECODERS if name not in av.codecs_available]
    fault = f"cannot decode {', '.join(lacking)}" if lacking else None
    return Finding(
        "av", f"{av.__version__}, FFmpeg inside", fault, "pip install --force-reinstall av" if lacking else None
    )


def _soundfile() -> Finding:
    """Check that soundfile is installed."""
    if importlib.util.find_spec("soundfile") is None:
        return _missing("soundfile", "sound files")
    import soundfile

    return Finding("soundfile", f"{soundfile.__version__}, {soundfile.__libsndfile_version__}")


def _pillow() -> Finding:
    """Check that Pillow is installed and can read common formats."""
    if importlib.util.find_spec("PIL") is None:
        return _missing("pillow", "pictures")
    import PIL
    from PIL import features

    lacking = [name for name in ("jpg", "zlib", "webp", "libtiff") if not features.check(name)]
    fault = f"cannot read {', '.join(lacking)}" if lacking else None
    return Finding("pillow", PIL.__version__, fault, "pip install --force-reinstall pillow" if lacking else None)


def _package(name: str, purpose: str, *, optional: bool = False) -> Finding:
    """Check that a package is installed, without importing it."""
    if importlib.util.find_spec(name) is not None:
        return Finding(name, package_version(name))
    if optional:
        return Finding(name, f"not installed (optional, for {purpose})")
    return _missing(name, purpose)


def _missing(name: str, purpose: str) -> Finding:
    """Return the finding for a required package that is not installed."""
    return Finding(name, "not installed", f"needed for {purpose}", f"pip install {name}")


def _disk() -> Finding:
    """Check that at least 2 GiB of disk space are free in the working directory."""
    free_gib = shutil.disk_usage(Path.cwd()).free / 2**30
    scarce = free_gib < 2
    return Finding(
        "disk",
        f"{free_gib:.1f} GiB free here",
        "this may be too little for a dataset and a run" if scarce else None,
        "free some space, or use another disk" if scarce else None,
    )


def _workers(scheduler: str) -> Finding:
    """Check that the workers of a scheduler have the versions and the working directory of this process."""
    try:
        with connect(scheduler) as cluster:
            checked = cluster.check_workers()
    except CmcganError as error:
        return Finding("workers", "none", str(error))
    faults = [f"worker {address} {fault}" for address, fault in checked.items() if fault]
    return Finding("workers", f"{len(checked)} of {scheduler}", "; ".join(faults) or None)


def _plugins() -> Finding:
    """Check that every installed plugin can be imported."""
    plugins = installed_plugins(load=True)
    faults = [plugin.fault for plugin in plugins if plugin.fault]
    fix = "see: cmcgan plugins --check" if faults else None
    return Finding("plugins", f"{len(plugins)} entries", "; ".join(faults) or None, fix)
