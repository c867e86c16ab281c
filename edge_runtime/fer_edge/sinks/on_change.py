"""A command of the user's, run when an expression changes."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from fer_edge.errors import UsageError
from fer_edge.sinks import Sink
from fer_edge.tracking.pipeline import Event, Result

LONGEST_S = 10.0
"""A command that takes longer hangs, and is ended."""
CLOSING_S = 0.7
"""How long the end of the run waits for commands."""
GRACE_S = 0.2
"""Between asking a command to end and ending it."""
SHELL = {"|", ">", ">>", "<", "&&", "||", ";", "&"}
"""Words that only a shell reads."""
MOST = 64
"""Faces whose change may wait for the command; those that wait longest are forgotten."""


@dataclass(frozen=True)
class Change:
    """What the command is told."""

    event: Event
    score: float | None
    """Of the expression; None for a face that left."""


class OnChange(Sink):
    """Runs a command for each event, without a shell, one at a time, in a thread of its own.

    What happens while it runs is told in the next run, a face's first and last expression only; nothing, where those
    are the same. It reads no input, and what it prints goes to stderr: stdout belongs to the results.
    """

    def __init__(self, command: str, log: Callable[[str], None], longest_s: float = LONGEST_S) -> None:
        """Take a command line.

        Args:
            command: As a shell would read it, quotes included; no variables, no pipes.
            log: Is given a line for the first run that does not end well; called in another thread.
            longest_s: How long one run may take.

        Raises:
            UsageError: There is no such command.
        """
        self._words = _words(command)
        self._log, self._longest_s = log, longest_s
        self._changed = threading.Condition()
        self._waiting: dict[int, Change] = {}
        self._told = self._over = False
        self._end = float("inf")
        self._thread = threading.Thread(target=self._run, name="fer-edge on-change", daemon=True)
        self._thread.start()

    def write(self, result: Result) -> None:
        """Take note of what happened; never waits."""
        if not result.events:
            return
        scores = {face.id: face.score for face in result.faces}
        with self._changed:
            for event in result.events:
                before = self._waiting.get(event.id)
                if before:
                    event = replace(event, before=before.event.before)
                if event.before == event.after:
                    self._waiting.pop(event.id, None)
                    continue
                self._waiting[event.id] = Change(event, scores.get(event.id))
                if len(self._waiting) > MOST:
                    del self._waiting[next(iter(self._waiting))]
            self._changed.notify()

    def close(self) -> None:
        """Run the command for what still waits, for a second at most."""
        with self._changed:
            self._over, self._end = True, time.monotonic() + CLOSING_S
            self._changed.notify()
        self._thread.join(CLOSING_S + 2 * GRACE_S)

    def _run(self) -> None:
        while change := self._next():
            self._run_once(change)

    def _next(self) -> Change | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over)
            if not self._waiting or time.monotonic() >= self._end:
                return None
            return self._waiting.pop(next(iter(self._waiting)))

    def _run_once(self, change: Change) -> None:
        begun = time.monotonic()
        try:
            process = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=2,
                env={**os.environ, **as_environment(change)},
                start_new_session=True,  # Ctrl-C is not for it, and whatever it starts can be ended with it
            )
        except OSError as error:
            self._tell_once(f"cannot be started: {error.strerror or error}")
            return
        while True:
            try:
                code = process.wait(0.1)
            except subprocess.TimeoutExpired:
                if time.monotonic() > min(begun + self._longest_s, self._end):
                    _end(process)
                    self._tell_once(f"had not ended after {time.monotonic() - begun:.1f} s, and was ended")
                    return
            else:
                break
        if code:
            self._tell_once(f"failed with exit code {code}")

    def _tell_once(self, what: str) -> None:
        if not self._told:
            self._told = True
            self._log(f"--on-change: {self._words[0]} {what}; this is reported once")


def as_environment(change: Change) -> dict[str, str]:
    """Variables in which the command finds what happened; empty where there is no such thing.

    >>> as_environment(Change(Event(2.5, 7, None, "happiness"), 0.83))["FER_EDGE_BEFORE"]
    ''
    """
    event = change.event
    return {
        "FER_EDGE_ID": str(event.id),
        "FER_EDGE_BEFORE": event.before or "",
        "FER_EDGE_AFTER": event.after or "",
        "FER_EDGE_SCORE": "" if change.score is None else f"{change.score:.4f}",
        "FER_EDGE_T": f"{event.t:.3f}",
    }


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--on-change {command}: {error}; put the whole command into one pair of quotes") from error
    if not words:
        raise UsageError("--on-change takes a command, such as: --on-change './light.sh --dim'")
    if shutil.which(words[0]) is None:
        raise UsageError(
            f"--on-change {words[0]}: no such command, or not executable (chmod +x); "
            f"a shell's own: --on-change {shlex.quote('sh -c ' + shlex.quote(command))}"
        )
    unquoted = re.sub(r"'[^']*'|\\.", "", command)
    if re.search(r"\$[A-Za-z_{(]", unquoted) or SHELL & set(unquoted.split()):
        raise UsageError(
            f"--on-change {command}: no shell reads it, and $ | > would stay as they are; to have one read it, type: "
            f"--on-change {shlex.quote('sh -c ' + shlex.quote(command))}"
        )
    return words


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a command and all that it started: it is asked, then it is made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(OSError):  # nothing of it is left
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
