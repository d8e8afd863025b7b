"""What is different on Windows. Only Linux is tested, see docs/reliability.md."""

import re
import sys

#: Whether this is Windows. It has no `flock`, and it neither renames nor deletes files that are open.
WINDOWS = sys.platform == "win32"
#: Characters that no name may contain there.
_FORBIDDEN = frozenset('<>:"|?*')
#: Names of devices, which Windows opens instead of a file, whatever their suffix and case.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9¹²³]) *(\..*)?", re.IGNORECASE)


def windows_name_fault(name: str) -> str | None:
    """Return why a text cannot name a file on Windows, or None if it can; see `utils.names.name_fault`.

    Source: "Naming Files, Paths, and Namespaces" in the documentation of Windows.
    """
    if forbidden := sorted(_FORBIDDEN & set(name)):
        return f"contains {' '.join(forbidden)}, which Windows does not allow"
    if name.endswith((".", " ")):
        return "ends with a dot or a space, which Windows removes"
    if _DEVICE.fullmatch(name):
        return "is the name of a device on Windows"
    return None
