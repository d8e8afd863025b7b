"""Profile some training steps: what takes the time, and whether the device waits for the host."""

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from cmcgan_core.errors import ConfigError
from cmcgan_core.utils.files import write_text

#: Steps before the profile, steps that warm the profiler up, and steps of the profile.
SKIPPED, WARM_UP, PROFILED = 10, 2, 5
#: Operations in the table, those that take longest.
ROWS = 40
#: Names of the files, in the run folder.
TRACE, TABLE = "profile/trace.json.gz", "profile/operations.txt"


def require_steps(steps: int) -> None:
    """Raise a `ConfigError` if a training is too short for a profile."""
    needed = SKIPPED + WARM_UP + PROFILED
    if steps < needed:
        raise ConfigError(
            f"a profile needs {needed} steps, and {steps} are left; train longer, for example with "
            f"--set train.steps={2 * needed}"
        )


def step_profiler(folder: Path) -> profile:
    """Return a profiler, whose `step` is called after every training step, and which writes one profile.

    Args:
        folder: run folder.
    """

    def write(finished: profile) -> None:
        (folder / TRACE).parent.mkdir(parents=True, exist_ok=True)
        finished.export_chrome_trace(str(folder / TRACE))
        order = "self_device_time_total" if ProfilerActivity.CUDA in activities else "self_cpu_time_total"
        write_text(folder / TABLE, finished.key_averages().table(sort_by=order, row_limit=ROWS))

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    steps = schedule(skip_first=SKIPPED, wait=0, warmup=WARM_UP, active=PROFILED, repeat=1)
    return profile(activities=activities, schedule=steps, on_trace_ready=write)
