"""List cameras, the processes that use them, and the --source of each.

A Raspberry Pi has up to two dozen /dev/videoN without any camera that OpenCV can read: codecs, the image signal
processor, metadata, and the raw sensor of a camera module, which only libcamera can process. This module changes
nothing and starts no stream; on other systems than Linux the list is empty.
"""

import errno
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fer_edge.device.machine import output_of, text_of
from fer_edge.device.v4l2 import CAPTURE, METADATA, Answer, ask_driver, kind_of


@dataclass(frozen=True)
class Holder:
    """A process that has a camera open."""

    pid: int
    name: str
    unit: str | None = None
    """Its systemd service, such as "fer-edge.service"."""
    user_unit: bool = False
    """Whether this is a user service (`systemctl --user`)."""

    @property
    def end(self) -> str:
        """Command that stops it."""
        if self.unit:
            return f"systemctl --user stop {self.unit}" if self.user_unit else f"sudo systemctl stop {self.unit}"
        return f"kill {self.pid}"


@dataclass(frozen=True)
class Node:
    """One /dev/videoN."""

    path: str
    number: int
    answer: Answer
    readable: bool = True
    """Whether this user may open it."""
    holders: tuple[Holder, ...] = ()
    """Processes that have it open; without root, only the user's own."""
    link: str | None = None
    """Its link in /dev/v4l/by-id, which stays the same when numbers change."""

    @property
    def source(self) -> str | None:
        """Value for `--source`; None if it is not a camera."""
        return str(self.number) if self.answer.kind == "camera" else None


@dataclass(frozen=True)
class Module:
    """A camera that only libcamera can read: a Raspberry Pi camera module."""

    number: int
    name: str
    size: str | None
    """Sensor resolution, such as 4608x2592."""

    @property
    def source(self) -> str | None:
        """Value for `--source`: "picam" for the first; the others are not supported."""
        return "picam" if self.number == 0 else None


@dataclass(frozen=True)
class Cameras:
    """Cameras of this machine."""

    nodes: tuple[Node, ...] = ()
    modules: tuple[Module, ...] = ()
    libcamera: str | None = None
    """Program that listed the modules; None if it is missing and modules are unknown."""

    @property
    def usable(self) -> list[Node]:
        """Nodes that OpenCV can read."""
        return [node for node in self.nodes if node.answer.kind == "camera"]

    @property
    def sensors(self) -> list[Node]:
        """Nodes of camera modules, which need libcamera."""
        return [node for node in self.nodes if node.answer.kind == "sensor"]


JOIN_VIDEO = "sudo usermod -aG video $USER"
"""Command that permits a user to open cameras, from the next login on."""


def find_cameras() -> Cameras:
    """Find the cameras of this machine; may take some seconds with libcamera."""
    for program in ("rpicam-hello", "libcamera-hello"):
        listing = output_of(program, "--list-cameras")
        if listing is not None:
            return Cameras(video_nodes(), camera_modules(listing), program)
    return Cameras(video_nodes())


def video_nodes(
    dev: Path = Path("/dev"),
    system: Path = Path("/sys"),
    proc: Path = Path("/proc"),
    ask: Callable[[Path], Answer] = ask_driver,
) -> tuple[Node, ...]:
    """List every /dev/videoN by number; `ask` queries the driver of one."""
    found = [(int(path.name[5:]), path) for path in dev.glob("video*") if re.fullmatch("video[0-9]{1,4}", path.name)]
    in_use = holders({str(path) for _, path in found}, proc) if found else {}
    links = steady_names(dev)
    nodes = []
    for number, path in sorted(found):
        readable = True
        try:
            answer = ask(path)
        except OSError as error:
            readable = error.errno not in (errno.EACCES, errno.EPERM)
            answer = _from_system(system / "class/video4linux" / path.name, busy=error.errno == errno.EBUSY)
        nodes.append(Node(str(path), number, answer, readable, tuple(in_use.get(str(path), ())), links.get(str(path))))
    return tuple(nodes)


def steady_names(dev: Path = Path("/dev")) -> dict[str, str]:
    """Return the permanent links of webcams by /dev/videoN."""
    return {str(link.resolve()): str(link) for link in sorted(dev.glob("v4l/by-id/*"), reverse=True)}


def _from_system(folder: Path, *, busy: bool) -> Answer:
    """Describe a node that cannot be opened, from /sys."""
    name = text_of(folder / "name") or "unknown"
    driver = (folder / "device/driver").resolve().name if (folder / "device/driver").exists() else ""
    first = (text_of(folder / "index") or "0") == "0"  # a webcam's second node is metadata
    return Answer(name, driver, "", kind_of(driver, CAPTURE if first else METADATA), busy=busy)


def holders(paths: set[str], proc: Path = Path("/proc")) -> dict[str, list[Holder]]:
    """Find the processes that have one of `paths` open; without root, only the user's own."""
    found: dict[str, list[Holder]] = {}
    for folder in sorted((path for path in proc.glob("[0-9]*") if path.name != str(os.getpid())), key=_pid):
        with suppress(OSError):  # ended, or another user's
            opened = set()
            for entry in (folder / "fd").iterdir():
                with suppress(OSError):
                    opened.add(str(entry.readlink()))
            for path in sorted(opened & paths):
                found.setdefault(path, []).append(_holder(folder))
    return found


def _pid(folder: Path) -> int:
    return int(folder.name)


def _holder(folder: Path) -> Holder:
    """Describe a process from /proc/PID, without its arguments, which may contain passwords."""
    group = text_of(folder / "cgroup") or ""
    unit = re.search(r"/([^/\n]+\.service)$", group)
    parent = re.search(r"^PPid:\s*(\d+)$", text_of(folder / "status") or "", re.MULTILINE)
    # Children of cron or a login are in its service, which must not be stopped for them.
    main = parent is not None and text_of(folder.parent / parent[1] / "comm") == "systemd"
    name = text_of(folder / "comm") or "unknown"
    return Holder(_pid(folder), name, unit[1] if unit and main else None, "/user@" in group)


def camera_modules(listing: str) -> tuple[Module, ...]:
    """Parse the output of `rpicam-hello --list-cameras`, without webcams.

    >>> camera_modules("0 : imx708 [4608x2592 10-bit RGGB] (/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a)")
    (Module(number=0, name='imx708', size='4608x2592'),)
    """
    modules = []
    for line in listing.splitlines():
        match = re.match(r"\s*(\d+)\s*:\s*(.+?)\s*(?:\[(\d+x\d+)[^]]*\])?\s*\((/.*)\)\s*$", line)
        if match and "/usb" not in match[4]:
            modules.append(Module(int(match[1]), match[2], match[3]))
    return tuple(modules)


def as_json(cameras: Cameras) -> dict[str, Any]:
    """Return the JSON of `fer-edge cameras --json`."""
    return {
        "cameras": [
            {
                "source": node.source,
                "path": node.path,
                "link": node.link,
                **{key: value for key, value in asdict(node.answer).items() if key != "kind"},
                "readable": node.readable,
                "holders": [asdict(holder) for holder in node.holders],
            }
            for node in cameras.usable
        ],
        "modules": [{"source": module.source, **asdict(module)} for module in cameras.modules],
        "libcamera": cameras.libcamera,
        "other_nodes": [
            {"path": node.path, "kind": node.answer.kind, "name": node.answer.name, "driver": node.answer.driver}
            for node in cameras.nodes
            if node.source is None
        ],
    }


def as_lines(cameras: Cameras) -> list[str]:
    """Format the cameras with the --source of each, then other nodes in one line."""
    lines = []
    for node in cameras.usable:
        bus = f", {node.answer.bus}" if node.answer.bus else ""
        lines.append(f"--source {node.source}: {node.answer.name} ({node.path}{bus})")
        lines += [f"    {one.name} {' '.join(one.sizes)}".rstrip() for one in node.answer.formats]
        if node.link:
            lines.append(f"    permanent name, for a service: --source {node.link}")
        if problem := problem_with(node):
            lines.append("    {}; type: {}".format(*problem))
    for module in cameras.modules:
        size = f", {module.size}" if module.size else ""
        head = f"--source {module.source}" if module.source else "not supported (picam is the first one)"
        lines.append(f"{head}: camera module {module.name}{size} (libcamera's number {module.number})")
    others: dict[str, list[str]] = {}
    for node in cameras.nodes:
        if node.source is None:
            others.setdefault(f"{node.answer.driver or node.answer.name}, {node.answer.kind}", []).append(node.path)
    lines += [f"not a camera: {' '.join(paths)} ({what})" for what, paths in others.items()]
    return lines


def problem_with(node: Node) -> tuple[str, str] | None:
    """Return why a camera cannot be opened, and what to type; None if it can."""
    if not node.readable:
        return f"no permission for {node.path}", f"{JOIN_VIDEO}, then log in again"
    if node.holders:
        names = ", ".join(f"{holder.name} (process {holder.pid})" for holder in node.holders)
        return f"{node.path} is in use by {names}", node.holders[0].end
    if node.answer.busy:
        return f"{node.path} is in use by another user's process", f"sudo fuser -v {node.path}"
    return None


def what_to_do(cameras: Cameras, board: str | None) -> str:
    """Return the advice for a machine without a usable camera."""
    on_pi = "Raspberry Pi" in (board or "")
    if cameras.sensors:
        sensor = f"{cameras.sensors[0].path} is a raw sensor, which needs libcamera"
        install = "type: sudo apt install -y python3-picamera2, then fer-edge doctor"
        return f"{sensor}; {install if on_pi else 'plug in a USB camera'}"
    if on_pi:
        return (
            "plug in a USB camera, or with the power off a camera module (then type: rpicam-hello --list-cameras); "
            "without a camera: --source FILE, or --source fake"
        )
    return "plug one in and type: lsusb; without a camera: --source FILE, or --source fake"
