"""Heapwise from inside a program that it observes.

A process is observed from its start or not at all: run it as ``heapwise run -- python3 app.py``. Then its parts can be
named (``phase``), and what was recorded so far can be had as a file (``record``).
"""

import contextlib
import ctypes
import json
import os
import subprocess
import sys

from . import _binary

__all__ = ["NotRecorded", "Recording", "HeapwiseError", "is_recorded", "mark", "phase", "record", "restart"]


class HeapwiseError(Exception):
    """Heapwise could not do its work."""


class NotRecorded(HeapwiseError):
    """This process does not run under ``heapwise run``."""

    def __init__(self):
        command = " ".join(_command())
        super().__init__(
            "this process is not observed, and that can only begin when it starts: "
            f"run `heapwise run -- {command}`, or call heapwise.restart() first thing in the program"
        )


def _find_mark():
    try:
        function = ctypes.CDLL(None).heapwise_mark
    except (AttributeError, OSError):
        return None
    function.argtypes = [ctypes.c_char_p]
    function.restype = ctypes.c_int
    return function


_mark = _find_mark()


def is_recorded():
    """Whether this process runs under ``heapwise run``."""
    return _mark is not None


def mark(name=""):
    """Says that ``name`` begins and that what was said before has ended; false where nobody listens.

    Marks are the process's, not a thread's: there is one phase at a time.
    """
    return _mark is not None and _mark(name.encode("utf-8", "replace").replace(b"\0", b" ")) == 1


@contextlib.contextmanager
def phase(name):
    """Names a block; ``heapwise report`` tells what it needed at most and what it kept."""
    mark(name)
    try:
        yield
    finally:
        mark()


class Recording:
    """What ``record`` gives: known when its block has ended."""

    def __init__(self, path, name):
        self.path = path
        self.name = name
        self.report = None

    def _phase(self):
        if self.report is None:
            raise HeapwiseError("the recorded block has not ended yet")
        named = [it for it in self.report["summary"].get("phases", ()) if it["name"] == self.name]
        return named[-1]

    @property
    def peak_bytes(self):
        """The most that was live at once within the block, beyond what was live before it."""
        return self._phase()["peak_bytes"]

    @property
    def kept_bytes(self):
        """What the block left behind."""
        return self._phase()["kept_bytes"]

    @property
    def sites(self):
        """Where the most was allocated: dicts as in the JSON report's ``summary.phases[].sites``."""
        return self._phase()["sites"]


@contextlib.contextmanager
def record(path):
    """Writes to ``path`` what this process has done up to the end of the block, with the block as a phase.

    Raises ``NotRecorded`` where the process does not run under ``heapwise run``.
    """
    if not is_recorded():
        raise NotRecorded
    path = os.path.abspath(os.fspath(path))
    recording = Recording(path, os.path.basename(path))
    with phase(recording.name):
        yield recording
    recording.report = snapshot(path)


def snapshot(path):
    """Writes what was recorded of this process so far to ``path``; the report of it, as a dict."""
    command = [_binary.find(), "snapshot", str(os.getpid()), "-o", os.fspath(path)]
    command += ["--format", "json", "--fail-on", "never"]
    # That is no part of the program.
    environment = {**os.environ, "HEAPWISE_OFF": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise HeapwiseError(done.stderr.decode(errors="replace").strip() or f"heapwise ended with {done.returncode}")
    return json.loads(done.stdout)


def restart(*options):
    """Starts this program once more, from its begin, under ``heapwise run`` with these options, unless it is there.

    To be called before the program has done anything. Returns only where the program is observed.
    """
    if is_recorded():
        return
    if os.environ.get("HEAPWISE_RESTARTED"):
        raise HeapwiseError("this process was started under Heapwise and is not observed: is the interpreter static?")
    os.environ["HEAPWISE_RESTARTED"] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    binary = _binary.find()
    os.execv(binary, [binary, "run", *options, "--", *_command()])


def _command():
    """How this program was started."""
    if hasattr(sys, "orig_argv"):
        return [sys.executable, *sys.orig_argv[1:]]
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is None:
        return [sys.executable, *sys.argv]
    name = spec.name[: -len(".__main__")] if spec.name.endswith(".__main__") else spec.name
    return [sys.executable, "-m", name, *sys.argv[1:]]
