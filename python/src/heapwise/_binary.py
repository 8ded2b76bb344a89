"""Where the ``heapwise`` command is."""

import os
import shutil
import sys
import sysconfig


def find():
    """``$HEAPWISE``, else the one that was installed with this package, else the one on the PATH."""
    named = os.environ.get("HEAPWISE")
    if named:
        return os.path.abspath(named)
    folders = [sysconfig.get_path("scripts"), os.path.dirname(sys.executable)]
    if hasattr(sysconfig, "get_preferred_scheme"):
        folders.append(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")))
    for folder in folders:
        path = os.path.join(folder, "heapwise")
        if os.access(path, os.X_OK):
            return path
    found = shutil.which("heapwise")
    if found is None:
        raise FileNotFoundError("there is no `heapwise` command: pip install heapwise, or set HEAPWISE to its path")
    return found
