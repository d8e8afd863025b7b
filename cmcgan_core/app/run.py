"""Run the page: the folder of the results, the queue and the server."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from cmcgan_core.app.jobs import Job, JobQueue
from cmcgan_core.app.models import Models
from cmcgan_core.app.outcomes import Outcome
from cmcgan_core.app.server import UploadProtocol, make_app
from cmcgan_core.progress import OnProgress
from cmcgan_core.web.serving import run_server


def run_app(models: Models, searched: Sequence[str], hosts: frozenset[str], address: str, port: int) -> None:
    """Serve the page until the process is stopped, then delete all results.

    Args:
        models: the models that can be chosen.
        searched: files and folders that visitors can search.
        hosts: host names under which it may be requested, see `AllowedHosts`.
        address: address to listen on.
        port: port to listen on.
    """

    def work(job: Job, on_progress: OnProgress) -> Outcome:
        # Imported by the first job: this takes seconds, in which the page is there already.
        from cmcgan_core.app.work import do_job

        return do_job(models, searched, job, on_progress)

    with TemporaryDirectory(prefix="cmcgan-app-") as folder, JobQueue(Path(folder), work) as queue:
        app = make_app(queue, models, hosts, searching=bool(searched))
        run_server(app, address, port, protocol=UploadProtocol)
