"""Diagnose this machine, with the command that fixes each problem.

Facts are collected by `fer_edge.device.doctor_facts`; here they are only evaluated, so that any board can be tested
anywhere.
"""

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fer_edge.device.cameras import JOIN_VIDEO, Node, problem_with, what_to_do
from fer_edge.device.doctor_facts import Facts, Import
from fer_edge.device.machine import CAPPED, NOW, SLOWED, SOFT_LIMIT, UNDER_VOLTAGE

Verdict = Literal["ok", "note", "fault"]

LITTLE_MEMORY_MB, TOO_LITTLE_MEMORY_MB = 250, 100
"""`fer-edge run` needs about 100 MB."""
LITTLE_DISK_MB, TOO_LITTLE_DISK_MB = 500, 50
HOT_C = 80.0
"""A Raspberry Pi throttles from here on (`temp_limit` is 85, soft throttling starts at 80)."""
OWN_GOVERNORS = ("intel_pstate", "amd-pstate", "amd-pstate-epp")
"""Drivers whose "powersave" follows the load; with others it is always the lowest frequency."""
LITERT = "'ai-edge-litert<2.2'"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    verdict: Verdict
    text: str
    command: str | None = None
    """Command that fixes it; every fault has one."""


def judge(facts: Facts) -> list[Finding]:
    """Evaluate all facts, in the order in which problems should be fixed."""
    topics = (_python, _packages, _runtime, _models, _cameras, _picamera, _group, _power, _resources, _extras)
    return [finding for topic in topics for finding in topic(facts)]


def is_healthy(findings: list[Finding]) -> bool:
    """Return whether there is no fault."""
    return all(finding.verdict != "fault" for finding in findings)


def as_json(facts: Facts, findings: list[Finding]) -> dict[str, Any]:
    """Return the JSON of `fer-edge doctor --json`: findings and facts."""
    return {
        "passed": is_healthy(findings),
        "findings": [asdict(finding) for finding in findings],
        "facts": asdict(facts),
    }


def as_line(finding: Finding) -> str:
    """Format one finding as a line of text."""
    command = f"; type: {finding.command}" if finding.command else ""
    return f"{finding.name}: {finding.text}{command}"


def _python(facts: Facts) -> Iterator[Finding]:
    version = ".".join(map(str, facts.python))
    yield Finding("machine", "ok", f"{facts.board or facts.kernel}, {facts.system}")
    if facts.python >= (3, 14):
        yield Finding("python", "note", f"Python {version} is newer than the tested versions (3.10 to 3.13)")
    else:
        yield Finding("python", "ok", f"Python {version}, {facts.bits} bits, in {facts.prefix}")
    if facts.bits == 32 and facts.runtime.works:
        yield Finding("system", "note", "32-bit Python: LiteRT has no wheel for it, tflite-runtime is used")


def _packages(facts: Facts) -> Iterator[Finding]:
    yield _required("numpy", facts.numpy, _install(facts, "'numpy>=1.26'", facts.numpy))
    found, headless = facts.opencv, "opencv-python-headless"
    if not found.works:
        # The full wheel needs desktop libraries, and shares its files with the headless one.
        swap = f"{facts.pip} uninstall -y opencv-python; " if "opencv-python" in facts.packages else ""
        yield _required("opencv", found, swap + _install(facts, headless, found))
        return
    windows = "with windows" if facts.opencv_has.get("windows") else "headless"
    yield Finding("opencv", "ok", f"OpenCV {found.version}, {windows}")
    both = {"opencv-python", "opencv-python-headless"}
    if both <= facts.packages.keys():
        command = f"{facts.pip} uninstall -y {' '.join(sorted(both))}; {facts.pip} install {headless}"
        yield Finding("opencv", "note", "opencv-python and opencv-python-headless overwrite each other", command)
    reinstall = f"{facts.pip} install --force-reinstall --no-deps {headless}"
    if not facts.opencv_has.get("v4l"):
        verdict: Verdict = "fault" if facts.cameras.usable else "note"
        yield Finding("opencv", verdict, "OpenCV was built without V4L2 and cannot read cameras", reinstall)
    if not facts.opencv_has.get("ffmpeg"):
        yield Finding("opencv", "note", "OpenCV was built without FFmpeg and can open few videos", reinstall)


def _install(facts: Facts, package: str, found: Import) -> str:
    """Return the command that installs a package; a broken one without dependencies, to keep numpy's version."""
    missing = "No module named" in (found.trouble or "")
    return f"{facts.pip} install {package if missing else f'--force-reinstall --no-deps {package}'}"


def _required(name: str, found: Import, otherwise: str) -> Finding:
    """Evaluate a required package; `otherwise` fixes it unless a library is missing."""
    if found.works:
        return Finding(name, "ok", f"{name} {found.version}")
    problem = found.trouble or ""
    library = next((package for part, package in MISSING_LIBRARIES.items() if part in problem), None)
    return Finding(
        name, "fault", f"import failed: {problem}", f"sudo apt install -y {library}" if library else otherwise
    )


MISSING_LIBRARIES = {"libopenblas": "libopenblas0", "libatlas": "libatlas3-base", "libgfortran": "libgfortran5"}
"""Debian packages that wheels of piwheels need."""
WRONG_NUMPY = ("numpy.dtype size changed", "_ARRAY_API not found", "compiled using NumPy 1", "numpy.core.multiarray")
"""Error messages of packages built for numpy 1 with numpy 2."""


def _needs_numpy_1(facts: Facts) -> bool:
    """Return whether tflite-runtime is used with numpy 2: it loads, and fails when it runs."""
    return facts.runtime.version == "tflite_runtime" and not (facts.numpy.version or "").startswith("1.")


def _runtime(facts: Facts) -> Iterator[Finding]:
    if not facts.numpy.works:
        return  # it needs numpy first
    if _needs_numpy_1(facts):
        text = f"tflite-runtime needs numpy 1, and numpy is {facts.numpy.version}"
        yield Finding("runtime", "fault", text, f"{facts.pip} install 'numpy<2'")
        return
    if facts.runtime.works:
        name = facts.runtime.version or ""
        number = facts.packages.get(name.replace("_", "-"))
        yield Finding("runtime", "ok", f"{name} {number or ''}".strip())
        return
    problem = facts.runtime.trouble or ""
    if any(part in problem for part in WRONG_NUMPY):
        yield Finding("runtime", "fault", f"built for numpy 1: {problem}", f"{facts.pip} install 'numpy<2'")
    elif facts.bits == 32:
        kernel = " on a 64-bit kernel" if "64" in facts.kernel else ""
        text = f"32-bit Python{kernel}: LiteRT has no wheel for it"
        if facts.python[:2] <= (3, 11) and not facts.kernel.startswith("armv6"):
            yield Finding(
                "runtime", "fault", f"{text}; tflite-runtime has one", f"{facts.pip} install tflite-runtime 'numpy<2'"
            )
        else:
            advice = f"{text}, nor has tflite-runtime; write Raspberry Pi OS (64-bit) to the card, on any computer"
            yield Finding("runtime", "fault", advice, "rpi-imager")
    else:
        yield Finding("runtime", "fault", problem, _install(facts, LITERT, facts.runtime))


def _models(facts: Facts) -> Iterator[Finding]:
    if facts.models:
        yield Finding("detector", "ok", f"--detector auto selects {facts.detector}")
    for name, problem in () if _needs_numpy_1(facts) else facts.models.items():
        if problem is None:
            yield Finding("model", "ok", f"{name} matches its reference output")
        else:
            again = f"{facts.pip} install --force-reinstall --no-deps ."
            yield Finding("model", "fault", f"{name}: {problem}; in your clone of fer-edge", again)


def _cameras(facts: Facts) -> Iterator[Finding]:
    for node in facts.cameras.usable:
        if node.readable:  # else reported once by _group
            ok = f"{node.answer.name} ({node.path}) is available: --source {node.source}"
            yield _in_use(node, f"{node.answer.name}: ") or Finding("camera", "ok", ok)
    for module in facts.cameras.modules[:1]:
        prefix = f"camera module {module.name}: "
        # Only while it streams: a desktop's wireplumber keeps its nodes open without using them.
        in_use = [_in_use(node, prefix) for node in facts.cameras.sensors if node.readable and node.answer.busy][:1]
        yield from filter(None, in_use or [Finding("camera", "ok", f"{prefix}--source picam, not a number")])
    if not facts.cameras.usable and not _has_module(facts):
        yield Finding("camera", "note", f"none; {what_to_do(facts.cameras, facts.board)}")


def _in_use(node: Node, prefix: str) -> Finding | None:
    """Evaluate the processes that use a camera: a fault while it streams, else a note; None if there are none."""
    problem = problem_with(node)
    if problem is None:
        return None
    if any(holder.unit == "fer-edge.service" for holder in node.holders):
        return Finding("camera", "note", f"{prefix}{node.path} is in use by the service", "fer-edge service status")
    return Finding("camera", "fault" if node.answer.busy else "note", f"{prefix}{problem[0]}", problem[1])


def _has_module(facts: Facts) -> bool:
    """Return whether there is a camera module; without libcamera, a sensor node counts as one."""
    suspected = facts.is_pi and facts.cameras.sensors and facts.cameras.libcamera is None
    return bool(facts.cameras.modules or suspected)


def _picamera(facts: Facts) -> Iterator[Finding]:
    needed = _has_module(facts)
    verdict: Verdict = "fault" if needed else "note"
    if facts.picamera2 is None and facts.picamera2_in_system:
        text = f"picamera2 is installed in the system, but not visible in {facts.prefix}"
        same_python = facts.base == "/usr" and facts.system_python == f"python{facts.python[0]}.{facts.python[1]}"
        if same_python and facts.prefix != facts.base:
            settings = shlex.quote(f"{facts.prefix}/pyvenv.cfg")
            command = f"sed -i '/^include-system-site-packages/s/false/true/' {settings}"
            yield Finding("picamera2", verdict, text, command)
        else:
            text += f", and built for {facts.system_python or 'another Python'}; then install fer-edge there"
            yield Finding("picamera2", verdict, text, "/usr/bin/python3 -m venv --system-site-packages ~/fer-edge")
    elif facts.picamera2 is None and needed:
        text = "a camera module needs picamera2, from the system and not from pip"
        yield Finding("picamera2", "fault", text, "sudo apt install -y python3-picamera2")
    elif facts.picamera2 and not facts.picamera2.works:
        problem = facts.picamera2.trouble or ""
        old = any(part in problem for part in WRONG_NUMPY)
        command = f"{facts.pip} install 'numpy<2'" if old else "sudo apt install -y --reinstall python3-picamera2"
        yield Finding("picamera2", verdict, f"import failed: {problem}", command)
    elif facts.picamera2:
        yield Finding("picamera2", "ok", "picamera2 is installed")


def _group(facts: Facts) -> Iterator[Finding]:
    locked: list[Node] = [node for node in (*facts.cameras.usable, *facts.cameras.sensors) if not node.readable]
    if facts.is_root:
        return
    if locked and facts.in_video:
        path = locked[0].path
        text = f"{facts.user} is in group video, but has no permission for {path}"
        yield Finding("group", "fault", text, f"sudo chgrp video {path} && sudo chmod g+rw {path}")
    elif facts.in_video:
        yield Finding("group", "ok", f"{facts.user} is in group video")
    elif facts.listed_in_video:
        text = f"{facts.user} is in group video from the next login on; log in again, or for this terminal only"
        yield Finding("group", "fault" if locked else "note", text, "newgrp video")
    elif locked:
        text = f"{facts.user} has no permission for {locked[0].path}; then log in again"
        yield Finding("group", "fault", text, JOIN_VIDEO)
    else:
        text = f"{facts.user} is not in group video, which cameras need over ssh"
        yield Finding("group", "note", text, JOIN_VIDEO)


def _power(facts: Facts) -> Iterator[Finding]:
    if facts.throttled is None:
        if facts.is_pi:
            yield Finding("power", "note", "the board's voltage is unknown", "sudo apt install -y raspi-utils")
    elif now := facts.throttled & NOW:
        if now & UNDER_VOLTAGE:
            text = "under-voltage now: use the official power supply and a short cable; then check again"
            yield Finding("power", "fault", text, "vcgencmd get_throttled")
        if now & (CAPPED | SLOWED | SOFT_LIMIT) and not now & UNDER_VOLTAGE:
            text = "throttled by heat now: add a heat sink or fan; then check again"
            yield Finding("heat", "fault", text, "vcgencmd measure_temp")
    elif before := facts.throttled >> 16 & NOW:
        cause = "under-voltage" if before & UNDER_VOLTAGE else "heat"
        yield Finding("power", "note", f"throttled since boot, by {cause}; not now", "vcgencmd get_throttled")
    else:
        yield Finding("power", "ok", "no under-voltage or throttling since boot")
    if facts.temperature_c is not None:
        hot = facts.temperature_c >= HOT_C
        yield Finding("heat", "note" if hot else "ok", f"the processor is at {facts.temperature_c:.0f} degrees Celsius")
    if facts.governor == "powersave" and facts.governor_driver not in OWN_GOVERNORS:
        command = "echo ondemand | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        yield Finding("governor", "note", "powersave keeps the processor at its lowest frequency", command)


def _resources(facts: Facts) -> Iterator[Finding]:
    if facts.memory_free_mb is not None:
        verdict = _enough(facts.memory_free_mb, LITTLE_MEMORY_MB, TOO_LITTLE_MEMORY_MB)
        text = f"{facts.memory_free_mb:,.0f} of {facts.memory_mb or 0:,.0f} MB free"
        command = "ps -eo rss,pid,comm --sort=-rss | head" if verdict != "ok" else None
        yield Finding("memory", verdict, text + ("; stop the largest processes" if command else ""), command)
    if facts.limits_memory is False:
        text = "this kernel cannot limit a service's memory"
        command = "sudo sed -i '1 s/$/ cgroup_enable=memory/' /boot/firmware/cmdline.txt && sudo reboot"
        yield Finding("memory", "note", text, command if facts.is_pi else None)
    verdict = _enough(facts.folder_free_mb, LITTLE_DISK_MB, TOO_LITTLE_DISK_MB)
    command = "sudo apt clean && sudo journalctl --vacuum-size=50M" if verdict != "ok" else None
    yield Finding("disk", verdict, f"{facts.folder_free_mb:,.0f} MB free in {facts.folder}", command)
    if facts.temporary is None:
        yield Finding("temporary", "fault", "no folder for temporary files is writable", "export TMPDIR=$HOME")


def _enough(free: float, little: float, too_little: float) -> Verdict:
    if free < too_little:
        return "fault"
    return "note" if free < little else "ok"


def _extras(facts: Facts) -> Iterator[Finding]:
    for extra, is_installed in facts.extras.items():
        if is_installed:
            yield Finding("extra", "ok", f"{extra} is installed")
        else:
            text = f"{extra} is not installed (needed by run --{extra}); in your clone of fer-edge"
            yield Finding("extra", "note", text, f"{facts.pip} install '.[{extra}]'")
