"""``pytest --heapwise``: limits on what tests need and on what they leave behind.

The first process starts pytest once more under ``heapwise run`` and waits for it. In the second each test is a phase of
the recording. When all tests have run, the recording is read once; reports of tests with limits are held back until then.
"""

import gc
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest
from _pytest.runner import runtestprotocol

import heapwise
from heapwise import _binary

INNER = "HEAPWISE_PYTEST"
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
SITES_SHOWN = 3
# Sites with less than this part of the whole say nothing.
SHARE_SHOWN = 20
FRAMES_SHOWN = 4
TESTS_SHOWN = 5


def pytest_addoption(parser):
    group = parser.getgroup("heapwise")
    group.addoption("--heapwise", action="store_true", help="run under Heapwise and check the limits of tests")
    group.addoption("--heapwise-recording", metavar="FILE", help="keep the recording in FILE")


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "limit_memory(size): with --heapwise, the test needs at most so much more than before, as in '24 MB'"
    )
    config.addinivalue_line(
        "markers",
        "limit_leaks(size, warmups=0): with --heapwise, the test leaves at most so much behind;"
        " it is called `warmups` times before that is counted",
    )
    if os.environ.get(INNER) and config.option.heapwise:
        config.pluginmanager.register(Limits(config), "heapwise-limits")
    elif not config.option.heapwise:
        config.pluginmanager.register(Unchecked(), "heapwise-unchecked")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """Runs all of it once more, under Heapwise."""
    if not config.option.heapwise or config.option.help or config.option.version:
        return None
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("--heapwise and -n: limits need one process; leave -n away")
    if os.environ.get(INNER):
        if not heapwise.is_recorded():
            raise pytest.UsageError("--heapwise: this interpreter lets nobody observe it: is it linked statically?")
        return None
    if list(config.invocation_params.args) != sys.argv[1:]:
        raise pytest.UsageError("--heapwise needs a process of pytest's own: pytest --heapwise")
    return run_again(config)


def run_again(config):
    """The exit code of pytest under Heapwise."""
    folder = tempfile.mkdtemp(prefix="heapwise-")
    try:
        try:
            binary = _binary.find()
        except FileNotFoundError as error:
            raise pytest.UsageError(f"--heapwise: {error}") from error
        # A whole run's findings are not a test's: what a suite keeps in its modules is its own matter.
        options = ["-o", folder + os.sep, "--output", os.path.join(folder, "findings"), "--fail-on", "never", "--quiet"]
        command = [binary, "run", *options, "--", *heapwise._command()]
        environment = {**os.environ, INNER: folder}
        sys.stdout.flush()
        # The terminal's interrupt is for pytest below, which ends in order.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return subprocess.call(command, env=environment, preexec_fn=lambda: signal.signal(signal.SIGINT, before))
        finally:
            signal.signal(signal.SIGINT, before)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Unchecked:
    """Says that there are limits that nobody looks at."""

    def __init__(self):
        self.count = 0

    def pytest_collection_finish(self, session):
        self.count = sum(1 for item in session.items if Limit.all(item))

    def pytest_terminal_summary(self, terminalreporter):
        if self.count:
            tests = "test has a memory limit" if self.count == 1 else "tests have memory limits"
            terminalreporter.write_line(f"heapwise: {self.count} {tests}, not checked without --heapwise")


class Limit:
    """What a marker says."""

    FIGURES = {"limit_memory": "peak_bytes", "limit_leaks": "kept_bytes"}

    def __init__(self, marker, item):
        self.name = marker.name
        sizes = [*marker.args, *(marker.kwargs[it] for it in ("size", "limit") if it in marker.kwargs)]
        if len(sizes) != 1:
            raise pytest.UsageError(f"{item.nodeid}: {marker.name} takes one size, as in '24 MB'")
        self.bytes = parse_size(sizes[0], f"{item.nodeid}: {marker.name}")
        self.warmups = int(marker.kwargs.get("warmups", 0))

    @classmethod
    def all(cls, item):
        markers = (item.get_closest_marker(name) for name in cls.FIGURES)
        return [cls(it, item) for it in markers if it is not None]

    def complaint(self, phase):
        """What is to be said of a test that is over the limit; else nothing."""
        figure = self.FIGURES[self.name]
        found = phase[figure]
        if found <= self.bytes:
            return None
        what = "needed {} at once" if figure == "peak_bytes" else "left {} behind"
        lines = [f"{self.name}: the test {what.format(human(found))}, {human(self.bytes)} are allowed"]
        sites = sorted(phase["sites"], key=lambda it: -it[figure])
        for site in [it for it in sites if it[figure] * SHARE_SHOWN >= found][:SITES_SHOWN]:
            frames = shown_frames(site)
            lines.append(f"  {human(site[figure]):>10}  {frames[0]}")
            lines += [f"  {'':>10}    called by {frame}" for frame in frames[1:]]
        return "\n".join(lines)


def parse_size(text, where):
    """Bytes of a size as people write it."""
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([a-zA-Z]*)\s*", str(text))
    unit = UNITS.get((match.group(2) or "B").upper()) if match else None
    if unit is None:
        raise pytest.UsageError(f"{where}: {text!r} is no size: write it like '24 MB' or '512 KiB'")
    return int(float(match.group(1)) * unit)


def human(count):
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def shown_frames(site):
    """The Python frames of a site from the innermost on, up to pytest's own; else where it is."""
    frames = [it for it in site.get("stack", ()) if it.get("language") == "python" and it.get("line")]
    inside = list(itertools.takewhile(lambda it: not is_pytests(it["path"]), frames))
    if not inside:
        place = site.get("location") or {}
        return [f"{place.get('function', 'unknown')} ({place.get('module') or place.get('path', 'unknown')})"]
    return [f"{it['path']}:{it['line']} in {it['function']}" for it in inside[:FRAMES_SHOWN]]


def is_pytests(path):
    return re.search(r"[/\\](_pytest|pluggy|pytest)[/\\]|heapwise[/\\]pytest_plugin\.py$|^<frozen ", path) is not None


class Limits:
    """Of the process that is observed."""

    def __init__(self, config):
        self.config = config
        self.folder = os.environ[INNER]
        self.held = []
        self.phases = []
        self.error = None

    def pytest_collection_finish(self, session):
        for item in session.items:
            Limit.all(item)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item):
        limits = Limit.all(item)
        for _ in range(max((it.warmups for it in limits), default=0)):
            item.runtest()
        if limits:
            gc.collect()
        heapwise.mark(item.nodeid)
        yield
        if limits:
            gc.collect()
        heapwise.mark()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        if not Limit.all(item):
            return None
        self.held.append((item, runtestprotocol(item, nextitem=nextitem, log=False)))
        return True

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtestloop(self, session):
        yield
        if not session.config.option.collectonly:
            self.read()
            self.judge()

    def read(self):
        """All phases of the recording so far."""
        path = self.config.option.heapwise_recording or os.path.join(self.folder, "tests.heapwise")
        try:
            self.phases = heapwise.snapshot(os.path.abspath(path))["summary"].get("phases", [])
        except (heapwise.HeapwiseError, OSError, ValueError) as error:
            self.error = str(error)

    def judge(self):
        """Gives out the reports that were held back."""
        by_name = {it["name"]: it for it in self.phases}
        for item, reports in self.held:
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            for report in reports:
                if report.when == "call" and report.passed:
                    self.check(item, report, by_name.get(item.nodeid))
                item.ihook.pytest_runtest_logreport(report=report)
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def check(self, item, report, phase):
        if phase is None:
            complaints = [f"heapwise: what this test needed is not known: {self.error or 'it is not in the recording'}"]
        else:
            complaints = [text for text in (it.complaint(phase) for it in Limit.all(item)) if text]
        if complaints:
            report.outcome = "failed"
            report.longrepr = "\n".join(complaints)

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.section("heapwise")
        if self.error:
            terminalreporter.write_line(f"the recording could not be read: {self.error}")
        for phase in sorted(self.phases, key=lambda it: -it["peak_bytes"])[:TESTS_SHOWN]:
            peak, kept = human(phase["peak_bytes"]), human(phase["kept_bytes"])
            terminalreporter.write_line(f"{peak:>10} at most, {kept:>10} kept  {phase['name']}")
        path = self.config.option.heapwise_recording
        if path and not self.error:
            terminalreporter.write_line(f"recording: {path} (heapwise report {path})")
