"""Collect facts for `doctor`. Packages are imported in separate processes, which a broken wheel may crash."""

import importlib.util
import json
import os
import platform
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_edge.device.cameras import Cameras, find_cameras
from fer_edge.device.machine import (
    SYSTEM,
    Throttle,
    board,
    governor,
    limits_memory,
    memory_mb,
    os_name,
    temperature_c,
    text_of,
)
from fer_edge.device.processor import detector_reason
from fer_edge.errors import one_line
from fer_edge.versions import RUNTIME, installed

EXTRAS = {"preview": ("starlette", "uvicorn"), "mqtt": ("paho",)}
"""Modules of the runtime's extras in pyproject.toml."""
SYSTEM_PACKAGES = Path("/usr/lib/python3/dist-packages")
PATIENCE_S = 120
"""Timeout in seconds: loading OpenCV from a slow card for the first time takes half a minute."""
TRY = """
import json
try:
    import {module}
    found = {found}
except Exception as error:
    while error.__cause__ is not None:
        error = error.__cause__  # numpy names the missing library there
    found = {{"trouble": " ".join(str(error).split())[:200] or type(error).__name__}}
print(json.dumps(found))
"""
OPENCV = """{"version": cv2.__version__, "build": cv2.getBuildInformation()}"""


@dataclass(frozen=True)
class Import:
    """Result of importing a package in a separate process."""

    version: str | None
    trouble: str | None = None

    @property
    def works(self) -> bool:
        """Whether the import succeeded."""
        return self.trouble is None


@dataclass(frozen=True)
class Facts:
    """Everything that `doctor` evaluates."""

    board: str | None
    """Such as "Raspberry Pi 5 Model B Rev 1.0"; None on a PC."""
    system: str
    kernel: str
    """Architecture: aarch64, armv7l, x86_64 ..."""
    python: tuple[int, int, int]
    bits: int
    """Word size of Python: 32 or 64."""
    prefix: str
    """Folder of the environment that fer-edge is installed in."""
    pip: str
    """Command of its pip."""
    base: str
    """Folder of the environment's base Python; /usr for the system's."""
    system_python: str | None
    """Target of /usr/bin/python3, such as "python3.11", which Debian's packages are built for."""
    packages: dict[str, str]
    """Versions of packages that affect predictions."""
    numpy: Import
    opencv: Import
    opencv_has: dict[str, bool]
    """Whether OpenCV was built with v4l, ffmpeg and windows; empty if the import failed."""
    runtime: Import
    """TFLite runtime: LiteRT or tflite-runtime."""
    models: dict[str, str | None]
    """Problem of each bundled model; None if it matches its reference output. Empty: not tested."""
    detector: str
    """Form of the bundled face detector selected for this processor, and why."""
    cameras: Cameras
    picamera2: Import | None
    """None if this Python cannot find it."""
    picamera2_in_system: bool
    user: str
    is_root: bool
    in_video: bool
    """Whether this process has group video."""
    listed_in_video: bool
    """Whether the user is in group video, now or from the next login on."""
    throttled: int | None
    """Flags of `vcgencmd get_throttled`; None if unavailable."""
    temperature_c: float | None
    governor: str | None
    governor_driver: str | None
    memory_mb: float | None
    memory_free_mb: float | None
    limits_memory: bool | None
    """Whether the kernel can limit a service's memory; None without cgroups."""
    folder: str
    """Current folder."""
    folder_free_mb: float
    temporary: str | None
    """Folder for temporary files; None if none is writable."""
    extras: dict[str, bool]
    """Whether the packages of each extra are installed."""

    @property
    def is_pi(self) -> bool:
        """Whether the board is a Raspberry Pi."""
        return "Raspberry Pi" in (self.board or "")


def collect() -> Facts:
    """Collect the facts of this machine, within some seconds and without changing anything."""
    numpy, _ = try_import("numpy", '{"version": numpy.__version__}')
    opencv, about = try_import("cv2", OPENCV)
    runtime, _ = try_import("fer_edge.model.interpreter", '{"version": fer_edge.model.interpreter.load_runtime()[0]}')
    try_models = numpy.works and opencv.works and runtime.works
    sees_picamera2 = importlib.util.find_spec("picamera2") is not None
    memory = memory_mb()
    in_video, listed_in_video = _video_group()
    return Facts(
        board=board(),
        system=os_name(),
        kernel=platform.machine(),
        python=(sys.version_info.major, sys.version_info.minor, sys.version_info.micro),
        bits=8 * struct.calcsize("P"),
        prefix=sys.prefix,
        pip=f"{shlex.quote(sys.executable)} -m pip",
        base=sys.base_prefix,
        system_python=_name_of(Path("/usr/bin/python3")),
        packages=installed(RUNTIME),
        numpy=numpy,
        opencv=opencv,
        opencv_has=built_with(about["build"]) if "build" in about else {},
        runtime=runtime,
        models=_models() if try_models else {},
        detector=detector_reason(),
        cameras=find_cameras(),
        picamera2=try_import("picamera2", '{"version": "there"}')[0] if sees_picamera2 else None,
        picamera2_in_system=(SYSTEM_PACKAGES / "picamera2").is_dir(),
        user=_user(),
        is_root=os.geteuid() == 0,
        in_video=in_video,
        listed_in_video=listed_in_video,
        throttled=Throttle.read().flags,
        temperature_c=temperature_c(),
        governor=governor(),
        governor_driver=text_of(SYSTEM / "devices/system/cpu/cpu0/cpufreq/scaling_driver"),
        memory_mb=memory.get("MemTotal"),
        memory_free_mb=memory.get("MemAvailable"),
        limits_memory=limits_memory(),
        folder=str(Path.cwd()),
        folder_free_mb=shutil.disk_usage(Path.cwd()).free / 1e6,
        temporary=_temporary(),
        extras={extra: all(map(importlib.util.find_spec, modules)) for extra, modules in EXTRAS.items()},
    )


def try_import(module: str, found: str) -> tuple[Import, dict[str, Any]]:
    """Import `module` in a fresh Python.

    Args:
        module: Module name.
        found: Python source of a dictionary with "version" and other values.

    Returns:
        The result, and that dictionary; empty if the import failed.
    """
    finished = call_python("-c", TRY.format(module=module, found=found))
    try:
        document = json.loads(finished.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return Import(None, _failure(finished)), {}
    if "trouble" in document:
        return Import(None, document["trouble"]), {}
    return Import(document["version"]), document


def call_python(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run this Python outside the current folder, whose files could shadow modules."""
    command = [sys.executable, *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE_S, cwd="/")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {PATIENCE_S} seconds")


def _failure(finished: "subprocess.CompletedProcess[str]") -> str:
    """Describe how a process without output ended."""
    if finished.returncode < 0:
        return f"Python was killed by {signal.Signals(-finished.returncode).name} (a wheel for another processor?)"
    return one_line(Exception((finished.stderr.strip().splitlines() or ["no answer"])[-1]))


def built_with(information: str) -> dict[str, bool]:
    r"""Parse OpenCV's build information.

    >>> built_with("  GUI:   NONE\n  FFMPEG:  YES\n  v4l/v4l2:  YES (linux/videodev2.h)")
    {'v4l': True, 'ffmpeg': True, 'windows': False}
    """
    build = {
        name.strip(): value.strip() for name, _, value in (line.partition(":") for line in information.splitlines())
    }
    return {
        "v4l": build.get("v4l/v4l2", "").startswith("YES"),
        "ffmpeg": build.get("FFMPEG", "").startswith("YES"),
        "windows": build.get("GUI", "NONE") != "NONE",
    }


def _models() -> dict[str, str | None]:
    """Test the bundled models with `fer-edge selftest`."""
    finished = call_python("-m", "fer_edge", "selftest", "--json")
    try:
        models = json.loads(finished.stdout)["models"]
    except (ValueError, KeyError, TypeError):
        return {"bundled models": _failure(finished).removeprefix("error: ")}
    return {Path(model["model"]).name: None if model["passed"] else _failed_stages(model["stages"]) for model in models}


def _failed_stages(stages: list[dict[str, Any]]) -> str:
    return f"differs from the reference output: {', '.join(stage['name'] for stage in stages if not stage['passed'])}"


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's user may have no name
        return str(os.geteuid())


def _video_group() -> tuple[bool, bool]:
    """Return whether this process has group video, and whether the user has it from the next login on."""
    import grp
    import pwd

    try:
        group = grp.getgrnam("video")
    except KeyError:
        return False, False
    now = group.gr_gid in (os.getegid(), *os.getgroups())
    primary = False
    with suppress(KeyError):
        primary = pwd.getpwuid(os.geteuid()).pw_gid == group.gr_gid
    return now, now or primary or _user() in group.gr_mem


def _temporary() -> str | None:
    try:
        with tempfile.TemporaryFile():
            return tempfile.gettempdir()
    except OSError:
        return None


def _name_of(path: Path) -> str | None:
    return path.resolve().name if path.exists() else None
