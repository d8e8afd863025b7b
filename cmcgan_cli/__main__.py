"""The entry point of `cmcgan`, also as `python -m cmcgan_cli`. It handles Ctrl-C before anything else is imported."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell lets background jobs ignore it
        signal.signal(signal.SIGINT, interrupt)
    from cmcgan_cli.app import main as run

    try:
        run()
    except KeyboardInterrupt:
        sys.exit(130)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle SIGINT as Python does; but while a module is imported, end the process.

    Libraries such as torch swallow exceptions while they import others. Nothing that was finished is lost.

    Raises:
        KeyboardInterrupt: no module is being imported.
    """
    outer = frame
    while outer:
        if outer.f_code.co_filename == "<frozen importlib._bootstrap>":
            os._exit(130)
        outer = outer.f_back
    signal.default_int_handler(number, frame)


if __name__ == "__main__":
    main()
