"""The package and the pytest plugin, with the `heapwise` that HEAPWISE names or that is installed."""

import os
import re
import subprocess
import sys
import textwrap

import pytest

from heapwise import _binary, pytest_plugin

SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "src")


def run(folder, *command):
    environment = {**os.environ, "PYTHONPATH": SOURCES, "HEAPWISE": _binary.find()}
    for name in ("HEAPWISE_PYTEST", "HEAPWISE_RESTARTED", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"):
        environment.pop(name, None)
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def write(folder, name, text):
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return str(path)


def run_pytest(folder, *options):
    return run(folder, sys.executable, "-m", "pytest", "-p", "heapwise.pytest_plugin", "-p", "no:cacheprovider", *options)


def line_of(path, marker):
    with open(path) as file:
        return next(number for number, line in enumerate(file, 1) if marker in line)


SUITE = """\
    import pytest

    kept = []

    @pytest.mark.limit_memory("2 MB")
    def test_frugal():
        assert len(bytearray(1_000_000)) == 1_000_000

    @pytest.mark.limit_memory("2 MB")
    def test_greedy():
        table = make_table()
        assert len(table) == 50

    def make_table():
        return [bytearray(100_000) for _ in range(50)]  # GREEDY

    @pytest.mark.limit_leaks("100 KB")
    def test_leaves_behind():
        kept.append(bytearray(300_000))  # LEAK

    @pytest.mark.limit_leaks("100 KB")
    def test_leaves_a_cycle():
        cycle = [bytearray(300_000)]
        cycle.append(cycle)

    @pytest.mark.limit_leaks("100 KB", warmups=1)
    def test_with_cache():
        if not kept_once:
            kept_once.append(bytearray(300_000))

    kept_once = []

    @pytest.mark.limit_memory("1 KB")
    def test_that_fails_anyhow():
        assert bytearray(5_000) == 1

    def test_without_limit():
        bytearray(3_000_000)
"""


def test_limits(tmp_path):
    path = write(tmp_path, "test_suite.py", SUITE)
    code, out, err = run_pytest(tmp_path, "--heapwise", "test_suite.py")
    assert code == 1, out + err
    assert "3 failed, 4 passed" in out, out + err
    assert "limit_memory: the test needed 5.0 MB at once, 2.0 MB are allowed" in out
    assert f"test_suite.py:{line_of(path, '# GREEDY')} in " in out, out
    assert "called by " in out and "test_greedy" in out
    assert re.search(r"limit_leaks: the test left 30\d\.\d KB behind, 100\.0 KB are allowed", out), out
    assert f"test_suite.py:{line_of(path, '# LEAK')} in test_leaves_behind" in out
    assert "assert bytearray" in out
    assert "at most" in out and "test_suite.py::test_without_limit" in out


def test_nothing_is_left_of_it(tmp_path):
    write(tmp_path, "test_suite.py", "def test_it():\n    pass\n")
    code, out, err = run_pytest(tmp_path, "--heapwise", "test_suite.py")
    assert code == 0 and "1 passed" in out, out + err
    assert sorted(it.name for it in tmp_path.iterdir() if it.name != "__pycache__") == ["test_suite.py"]


def test_a_recording_is_kept_where_asked(tmp_path):
    write(tmp_path, "test_suite.py", "def test_it():\n    kept = bytearray(70_000)\n")
    code, out, err = run_pytest(tmp_path, "--heapwise", "--heapwise-recording", "kept.heapwise", "test_suite.py")
    assert code == 0 and "recording: kept.heapwise" in out, out + err
    code, out, err = run(tmp_path, _binary.find(), "report", "kept.heapwise", "--fail-on", "never")
    assert code == 0 and "test_suite.py::test_it: at most" in out, out + err


def test_without_the_option_limits_are_not_checked(tmp_path):
    write(tmp_path, "test_suite.py", SUITE)
    code, out, err = run_pytest(tmp_path, "test_suite.py", "-k", "not anyhow")
    assert code == 0, out + err
    assert "heapwise: 5 tests have memory limits, not checked without --heapwise" in out


@pytest.mark.parametrize("size", ["'24 parsecs'", "", "'1 MB', '2 MB'", "'-5 MB'"])
def test_a_size_that_is_none_is_told(tmp_path, size):
    write(tmp_path, "test_suite.py", f"import pytest\n@pytest.mark.limit_memory({size})\ndef test_it(): pass\n")
    code, out, err = run_pytest(tmp_path, "--heapwise", "test_suite.py")
    assert code == 4 and "test_it: limit_memory" in out + err, out + err


def test_sizes():
    sizes = {"24 MB": 24_000_000, "1.5KiB": 1536, "7": 7, "2 gb": 2_000_000_000, 12: 12}
    assert {text: pytest_plugin.parse_size(text, "here") for text in sizes} == sizes
    assert [pytest_plugin.human(it) for it in (999, 1_000, 24_000_000)] == ["999 B", "1.0 KB", "24.0 MB"]


RECORDED = """\
    import heapwise

    kept = []
    with heapwise.record("block.heapwise") as recording:
        bytearray(2_000_000)
        kept.append(bytearray(400_000))  # KEPT
    print(round(recording.peak_bytes, -5), round(recording.kept_bytes, -4))
    lines = [site["location"]["line"] for site in recording.sites if site["kept_bytes"] > 300_000]
    print(lines)
"""


def test_a_block_is_recorded(tmp_path):
    path = write(tmp_path, "program.py", RECORDED)
    code, out, err = run(tmp_path, _binary.find(), "run", "--output", "findings", "--", sys.executable, "program.py")
    assert code == 0, err
    assert out.splitlines() == ["2000000 400000", f"[{line_of(path, '# KEPT')}]"], out
    recordings = [it.name for it in tmp_path.glob("*.heapwise")]
    assert "block.heapwise" in recordings and not any(it.startswith("heapwise.") for it in recordings), recordings


def test_who_is_not_observed_is_told(tmp_path):
    write(tmp_path, "program.py", RECORDED)
    code, out, err = run(tmp_path, sys.executable, "program.py")
    assert code == 1 and "heapwise.NotRecorded" in err and "heapwise run -- " in err and "program.py" in err, err


def test_a_program_restarts_itself(tmp_path):
    program = "import heapwise, sys\nheapwise.restart('--output', 'findings')\n" + textwrap.dedent(RECORDED)
    write(tmp_path, "program.py", program + "print(sys.argv[1:])\n")
    code, out, err = run(tmp_path, sys.executable, "program.py", "a word", "-x")
    assert code == 0 and out.splitlines()[0] == "2000000 400000", out + err
    assert out.splitlines()[-1] == "['a word', '-x']"


def test_a_phase_is_harmless_where_nobody_listens(tmp_path):
    program = "import heapwise\nwith heapwise.phase('x'):\n    print(heapwise.is_recorded(), heapwise.mark('y'))\n"
    write(tmp_path, "program.py", program)
    assert run(tmp_path, sys.executable, "program.py")[:2] == (0, "False False\n")
