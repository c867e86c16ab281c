import json
import re
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fer_edge.errors import FerEdgeError, UsageError
from fer_edge.service import systemd
from fer_edge.service.location import UnitLocation, unit_location
from fer_edge.service.systemd import install, remove, status
from fer_edge.service.unit import Given, Unit, unit_text
from support.command import RUN, FerEdge


class Systemd:
    """Remembers what systemctl was told."""

    def __init__(self, answer: str = "", refuses: str | None = None) -> None:
        self.told: list[str] = []
        self.answer, self.refuses = answer, refuses

    def __call__(self, words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        self.told.append(" ".join(words))
        if words[0] == self.refuses:
            return subprocess.CompletedProcess(words, 1, "", "Failed to connect to bus:\nNo medium found\n")
        return subprocess.CompletedProcess(words, 0, self.answer, "")


@pytest.fixture
def booted(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if systemd ran this machine, and this user were root."""
    monkeypatch.setattr("fer_edge.service.systemd.require_systemd", lambda: None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.delenv("SUDO_USER", raising=False)


PLAIN = Unit(
    python="/home/ana/fer/bin/python",
    given=Given(("--source", "0"), {}, (), ()),
    user=None,
    group_video=True,
    secrets_file=Path("/etc/fer-edge.env"),
    memory_mb=1024,
    growing_pauses=False,
)
SECRETIVE = replace(PLAIN, given=Given((), {"FER_EDGE_SOURCE": "rtsp://ana:pass@camera"}, (), ()))


@pytest.mark.usefixtures("booted")
def test_installing_writes_the_unit_and_starts_it(tmp_path: Path) -> None:
    systemd = Systemd()
    place = UnitLocation(tmp_path / "system", False, systemd)
    ours = replace(SECRETIVE, given=replace(SECRETIVE.given, written=(tmp_path / "new/faces",)))

    report = install(ours, place)

    assert systemd.told == [
        "show --property=Version",
        *("daemon-reload", "enable fer-edge.service", "restart fer-edge.service"),
    ]
    assert place.unit.read_text() == unit_text(ours)
    assert place.secrets.read_text() == 'FER_EDGE_SOURCE="rtsp://ana:pass@camera"\n'
    assert stat.S_IMODE(place.secrets.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.unit.stat().st_mode) & 0o044 == 0o044
    assert (tmp_path / "new/faces").is_dir()
    assert "pass" not in "".join(report.lines) + json.dumps(report.facts)


@pytest.mark.usefixtures("booted")
def test_installing_again_leaves_what_installing_once_leaves(tmp_path: Path) -> None:
    place = UnitLocation(tmp_path, False, Systemd())
    install(SECRETIVE, place)
    install(PLAIN, place)
    install(PLAIN, place)

    assert [path.name for path in tmp_path.iterdir()] == ["fer-edge.service"]
    assert place.unit.read_text() == unit_text(PLAIN)


@pytest.mark.usefixtures("booted")
def test_removing_leaves_nothing_and_can_be_done_twice(tmp_path: Path) -> None:
    systemd = Systemd()
    place = UnitLocation(tmp_path, False, systemd)
    install(SECRETIVE, place)
    systemd.told.clear()

    first, second = remove(place), remove(place)

    assert systemd.told == ["disable --now fer-edge.service", "daemon-reload", "reset-failed fer-edge.service"]
    assert list(tmp_path.iterdir()) == []
    assert first.passed
    assert second.passed
    assert second.lines == [f"nothing to remove: {tmp_path}/fer-edge.service does not exist"]


@pytest.mark.usefixtures("booted")
@pytest.mark.parametrize(
    ("refuses", "told", "written"),
    [
        ("enable", r"systemctl --user enable .*: Failed to connect to bus: No", 1),
        ("show", r"log in as this user \(ssh, not su\), or type: export XDG_RUNTIME_DIR=", 0),
    ],
)
def test_what_systemd_refuses_is_one_line_and_where_it_does_not_answer_nothing_is_written(
    tmp_path: Path, refuses: str, told: str, written: int
) -> None:
    with pytest.raises(FerEdgeError, match=told):
        install(PLAIN, UnitLocation(tmp_path, True, Systemd(refuses=refuses)))
    assert len(list(tmp_path.iterdir())) == written


SHOWN = """\
LoadState=loaded
ActiveState={}
SubState={}
UnitFileState=enabled
NRestarts=3
Result={}
StateChangeTimestamp=Sun 2026-11-22 00:13:00 UTC
"""


@pytest.mark.usefixtures("booted")
@pytest.mark.parametrize(
    ("user", "states", "passed", "told"),
    [
        (False, ("active", "running", "success"), True, "3 restarts"),
        (True, ("activating", "auto-restart", "exit-code"), False, "3 restarts, last result: exit-code"),
    ],
)
def test_status_is_one_line_and_where_the_log_is(
    tmp_path: Path, user: bool, states: tuple[str, ...], passed: bool, told: str
) -> None:
    report = status(UnitLocation(tmp_path, user, Systemd(SHOWN.format(*states))))

    assert report.lines == [
        f"fer-edge.service: {states[0]} ({states[1]}) since Sun 2026-11-22 00:13:00 UTC, enabled, {told}",
        f"log: journalctl {'--user ' if user else ''}-u fer-edge -n 20 --no-pager",
    ]
    assert report.passed is passed
    assert report.facts["ActiveState"] == states[0]


@pytest.mark.usefixtures("booted")
def test_status_of_no_service_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(
        FerEdgeError, match="the service is not installed; type: fer-edge service install --user -- --source 0"
    ):
        status(UnitLocation(tmp_path, True, Systemd("LoadState=not-found\nActiveState=inactive\n")))


@pytest.mark.parametrize(
    ("program", "password", "flags", "typed"),
    [
        (
            "/home/ana/my env/bin/fer-edge",
            None,
            ["--source", "rtsp://ana:pass@camera", "--save", "my faces"],
            "sudo '/home/ana/my env/bin/fer-edge' service install -- --source 'rtsp://***@camera' --save 'my faces'",
        ),
        (
            "/opt/fer-edge",
            "s3cret",
            ["--mqtt", "mqtt://ana@broker"],
            "sudo --preserve-env=FER_EDGE_MQTT_PASSWORD /opt/fer-edge service install -- --mqtt 'mqtt://***@broker'",
        ),
    ],
)
def test_without_root_it_says_what_to_type_and_shows_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, password: str | None, flags: list[str], typed: str
) -> None:
    monkeypatch.setattr("fer_edge.service.systemd.require_systemd", lambda: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("sys.argv", [program, "service"])
    if password:
        monkeypatch.setenv("FER_EDGE_MQTT_PASSWORD", password)

    with pytest.raises(FerEdgeError) as refused:
        install(PLAIN, UnitLocation(tmp_path, False, Systemd()), flags)

    assert str(refused.value) == f"a system service needs root; type: {typed}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("booted")
def test_sudo_and_user_do_not_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ana")

    with pytest.raises(UsageError, match=r"--user does not work with sudo; type, without sudo: .* install --user"):
        install(PLAIN, UnitLocation(tmp_path, True, Systemd()))


def test_who_typed_sudo_is_whose_rights_the_service_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ana")

    assert systemd.service_user() == "ana"


def test_a_small_machine_gives_half_of_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "memory_mb", lambda: {"MemTotal": 440.0})
    assert systemd.memory_limit_mb() == 220
    monkeypatch.setattr(systemd, "memory_mb", lambda: {"MemTotal": 8_000.0})
    assert systemd.memory_limit_mb() == 1024


def test_a_machine_without_systemd_gets_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(FerEdgeError, match="this machine was not booted with systemd; print the unit"):
        systemd.require_systemd(tmp_path / "run/systemd/system")


@pytest.mark.parametrize("flags", [["--source", "0"], ["--", "--source", "0"]])
def test_a_dry_run_prints_the_unit_and_nothing_else(fer_edge: FerEdge, flags: list[str]) -> None:
    finished = fer_edge("service", "install", "--user", "--dry-run", *flags)

    assert (finished.code, finished.stderr) == (0, "")
    assert re.search(r"^ExecStart=:.* -m fer_edge run --source 0$", finished.stdout, re.MULTILINE)


def test_a_dry_run_as_json_names_secrets_without_telling_them(fer_edge: FerEdge) -> None:
    finished = fer_edge("service", "install", "--dry-run", "--json", "--source", "rtsp://ana:pass@camera")

    document = json.loads(finished.stdout)
    assert document["secrets"] == ["FER_EDGE_SOURCE"]
    assert "pass@" not in finished.stdout + finished.stderr


def test_variables_of_fer_edge_hold_in_the_service_unless_a_flag_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_EDGE_RUNTIME", "tflite")
    monkeypatch.setenv("FER_EDGE_SOURCE", "rtsp://ana:old@camera")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/home.pem")

    place, flags = UnitLocation(tmp_path, True, Systemd()), ["--source", "rtsp://ana:new@camera"]

    theirs = {"FER_EDGE_RUNTIME": "tflite", "FER_EDGE_SOURCE": "rtsp://ana:new@camera"}
    assert systemd.plan(flags, place, RUN).secrets == theirs
    with_tls = systemd.plan([*flags, "--mqtt", "mqtts://broker"], place, RUN)
    assert with_tls.secrets == {**theirs, "SSL_CERT_FILE": "/etc/home.pem"}


def test_the_password_of_a_broker_stands_in_the_private_file_and_nowhere_else(
    tmp_path: Path, booted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_EDGE_MQTT_PASSWORD", "s3cret")
    place = UnitLocation(tmp_path, False, Systemd(SHOWN.format("active", "running", "success")))

    report = install(systemd.plan(["--mqtt", "mqtt://ana@broker"], place, RUN), place)

    assert 'FER_EDGE_MQTT_PASSWORD="s3cret"\n' in place.secrets.read_text()
    assert stat.S_IMODE(place.secrets.stat().st_mode) == 0o600
    assert f"EnvironmentFile={place.secrets}" in place.unit.read_text()
    assert "s3cret" not in place.unit.read_text() + "".join(report.lines) + json.dumps(report.facts)
    assert status(place).lines[2] == f"passwords and tokens: {place.secrets}; to change them, install again"
    remove(place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("booted")
def test_folders_that_are_made_belong_to_who_writes_into_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Path] = []
    monkeypatch.setattr("os.chown", lambda path, user, group: given.append(path))
    (tmp_path / "old").mkdir()
    folder = tmp_path / "old/new/faces"

    install(replace(PLAIN, user="root", given=Given((), {}, (), (folder,))), UnitLocation(tmp_path, False, Systemd()))

    assert sorted(given) == [tmp_path / "old/new", folder]


def test_each_camera_may_have_a_service_of_its_own() -> None:
    door = unit_location(user=False, name="fer-edge-door")
    assert (door.unit, door.secrets) == (
        Path("/etc/systemd/system/fer-edge-door.service"),
        Path("/etc/systemd/system/fer-edge-door.env"),
    )
    assert door.flags == " --name fer-edge-door"
    assert unit_location(user=False).flags == ""


def test_user_without_a_home_folder_is_told_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", lambda path: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(UsageError, match="this user has no home folder; type: export HOME="):
        unit_location(user=True)
