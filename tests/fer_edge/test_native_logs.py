"""As a library, fer-edge discards no output; its commands discard start-up logs, before they have threads."""

import ast
import subprocess
import sys
import threading

import pytest

from fer_edge.native_logs import quiet
from support.paths import ROOT, TINY

LOADS = f"""
import logging, os, sys, threading, time
import numpy as np
from fer_edge import Recognizer
done, lines = threading.Event(), 0
def write():
    global lines
    while not done.is_set():
        print("print", lines)
        os.write(1, f"write {{lines}}\\n".encode())
        handler = logging.StreamHandler()  # takes the sys.stderr of this moment, as logging.basicConfig() does
        logger = logging.getLogger("app"); logger.handlers = [handler]
        logger.warning("log %d", lines)
        lines += 1
        time.sleep(0.0005)
thread = threading.Thread(target=write)
thread.start()
for _ in range(50):
    Recognizer({str(TINY)!r}, detector="none").predict(np.zeros((60, 60, 3), np.uint8))
done.set()
thread.join()
print("lines", lines)
"""


def test_threads_that_print_and_log_through_fifty_loads_lose_nothing() -> None:
    result = subprocess.run([sys.executable, "-u", "-c", LOADS], capture_output=True, text=True, check=True)
    *written, last = result.stdout.splitlines()
    lines = int(last.removeprefix("lines "))
    assert lines > 50
    assert [line for line in written if line.startswith("print")] == [f"print {line}" for line in range(lines)]
    assert [line for line in written if line.startswith("write")] == [f"write {line}" for line in range(lines)]
    logged = [line for line in result.stderr.splitlines() if line.startswith("log")]
    assert logged == [f"log {line}" for line in range(lines)]


COMMANDS = {
    "app/run.py",
    "commands/models.py",
    "fer_edge_bench/benchmark.py",
    "fer_edge_train/cli.py",
    "fer_edge_export/cli.py",
    "training/processes.py",
}


def test_only_commands_discard_anything() -> None:
    users = set()
    for package in ("edge_runtime", "train", "export", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module == "fer_edge.native_logs":
                    users.add("/".join(path.parts[-2:]))
    assert users == COMMANDS


QUIET = """
import os
from fer_edge.native_logs import quiet
try:
    with quiet():
        os.write(1, b"inside")
        os.write(2, b"inside")
        raise ValueError
except ValueError:
    os.write(1, b"behind")
    os.write(2, b"behind")
"""


def test_descriptors_are_put_back() -> None:
    result = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("behind", "behind")


def test_nothing_is_discarded_where_there_is_another_thread(capfd: pytest.CaptureFixture[str]) -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    with quiet():
        print("inside")
    done.set()
    thread.join()
    assert capfd.readouterr().out == "inside\n"
