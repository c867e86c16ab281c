import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import pytest
import typer

from fer_edge.commands import run
from fer_edge.errors import UsageError
from fer_edge.service.unit import READ, Given, Unit, environment_text, quoted, read_flags, unit_text
from support.command import RUN

NASTY = [
    "a b",
    'say "hi"',
    "100 %",
    "%h",
    "$HOME",
    "${HOME}",
    "back\\slash",
    "it's",
    ";",
    "-x",
    "é",
    "a#b",
    "\\n",
    "@",
    "",
]
"""Words that systemd, a shell or a C compiler would take for something else."""


def unit(**changes: object) -> Unit:
    given = Given(("--source", "0"), {}, (), ())
    return replace(
        Unit("/home/ana/fer/bin/python", given, "ana", True, Path("/etc/fer-edge.env"), 1024, False), **changes
    )


def settings(text: str) -> dict[str, str]:
    """The last value of each setting of a unit."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def words_of(value: str) -> list[str]:
    """Take a line of ExecStart= apart as systemd.service(5) describes, `$` aside, which the colon turns off."""
    words, rest = [], value
    while rest := rest.lstrip(" "):
        whole = re.match(r'"((?:[^"\\]|\\.)*)"(?: |$)|([^" ]+)(?: |$)', rest)
        assert whole, rest
        words.append(re.sub(r"\\(.)", r"\1", whole[1]) if whole[2] is None else whole[2])
        rest = rest[whole.end() :]
    assert not re.search("(?<!%)%(?:%%)*(?!%)", value), "a lone % begins a specifier"
    return [word.replace("%%", "%") for word in words]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.tflite").touch()
    (tmp_path / "clip.mp4").touch()
    return tmp_path


def test_what_is_typed_is_run_with_absolute_paths(folder: Path) -> None:
    given = read_flags(
        ["-s", "clip.mp4", "-m", "own.tflite", "--conf=0.5", "--save", "seen/../out", "--json"], RUN, folder
    )

    assert given.arguments == (
        *("--source", f"{folder}/clip.mp4", "--model", f"{folder}/own.tflite"),
        *("--conf", "0.5", "--save", f"{folder}/out", "--json"),
    )
    assert (given.read, given.written) == ((folder / "own.tflite",), (folder / "out",))
    assert given.secrets == {}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("0", "0"),
        ("picam", "picam"),
        ("fake", "fake"),
        ("/dev/video2", "/dev/video2"),
        ("rtsp://camera/live", "rtsp://camera/live"),
        ("clip.mp4", "{}/clip.mp4"),
        ("later/clip.mp4", "{}/later/clip.mp4"),
        ("*.jpg", "{}/*.jpg"),
        ("/videos/clip.mp4", "/videos/clip.mp4"),
    ],
)
def test_a_source_is_made_absolute_only_where_it_is_a_path(folder: Path, typed: str, meant: str) -> None:
    assert read_flags(["--source", typed], RUN, folder).arguments == ("--source", meant.format(folder))


def test_a_password_stands_in_the_environment_and_not_in_the_command_line(folder: Path) -> None:
    address = 'rtsp://ana:p"a$s\\w@camera/live'
    given = read_flags(["--source", address, "--conf", "0.5"], RUN, folder)

    assert given.arguments == ("--conf", "0.5")
    assert given.secrets == {"FER_EDGE_SOURCE": address}
    assert "camera/live" not in unit_text(unit(given=given))
    assert settings(unit_text(unit(given=given)))["EnvironmentFile"] == "/etc/fer-edge.env"


def test_every_flag_of_run_that_may_hold_a_password_can_stand_in_the_environment() -> None:
    secretive = [
        flag for flag in RUN.params if re.search("source$|mqtt$|change$|token|password|url|address", flag.name)
    ]

    assert secretive
    assert [flag.name for flag in secretive if not flag.envvar] == []


@pytest.mark.parametrize(
    ("flag", "value", "variable"),
    [
        ("--mqtt", "mqtt://ana:pass@broker", "FER_EDGE_MQTT"),
        ("--preview-token", "0123456789abcdef", "FER_EDGE_PREVIEW_TOKEN"),
        ("--on-change", "curl https://ana:pass@lamp/on", "FER_EDGE_ON_CHANGE"),
    ],
)
def test_other_secrets_stand_there_too(flag: str, value: str, variable: str) -> None:
    given = read_flags([flag, value], RUN, Path("/"))

    assert (given.arguments, given.secrets) == ((), {variable: value})


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        (
            "mqtt://ana@broker",
            r"has a user but no password; type: read -rs FER_EDGE_MQTT_PASSWORD; export .*--preserve-env=",
        ),
        ("http://broker", "not a broker address"),
        ("mqtt://ana:p@ss/w@broker", "not a broker address"),
    ],
)
def test_a_broker_that_would_turn_the_service_away_is_refused(
    address: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FER_EDGE_MQTT_PASSWORD", raising=False)
    with pytest.raises(UsageError, match=fault):
        read_flags(["--mqtt", address], RUN, Path("/"))

    monkeypatch.setenv("FER_EDGE_MQTT_PASSWORD", "")  # ana has none
    assert read_flags(["--mqtt", "mqtt://ana@broker"], RUN, Path("/")).secrets


def test_flags_without_secrets_stay_in_the_unit() -> None:
    flags = ("--mqtt", "mqtt://broker", "--on-change", "lamp.sh 'a b'", "--mqtt-topic", "hall/faces")

    assert read_flags(flags, RUN, Path("/")).arguments == flags


def test_a_page_for_others_needs_a_token_that_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FER_EDGE_PREVIEW_TOKEN", raising=False)
    page = ["--preview", "--preview-host", "0.0.0.0"]  # noqa: S104

    with pytest.raises(UsageError, match=r"each start would generate a new one; add: --preview-token [0-9a-f]{16}$"):
        read_flags(page, RUN, Path("/"))
    assert read_flags([*page, "--preview-token", "0123456789abcdef"], RUN, Path("/")).secrets
    assert read_flags(["--preview", "--preview-host", "127.0.0.1"], RUN, Path("/")).secrets == {}


def test_a_password_behind_a_flag_that_cannot_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = typer.main.get_command(run.app)
    (flag,) = [flag for flag in command.params if flag.name == "source"]
    monkeypatch.setattr(flag, "envvar", None)

    with pytest.raises(UsageError, match="--source contains a password, which the process list would show"):
        read_flags(["--source", "rtsp://ana:pass@camera"], command, folder)


def test_paths_of_run_are_known_to_be_read_or_written() -> None:
    """A new flag of run with a Path: is it written to? If it is read, name it in service_unit.READ."""
    paths = {name for name, hint in get_type_hints(run.run).items() if "Path" in str(hint)}
    given = read_flags(["--save", "out", "--csv", "table/faces.csv"], RUN, Path("/home/ana"))

    assert paths == READ | {"save", "csv"}
    assert given.written == (Path("/home/ana/out"), Path("/home/ana/table"))


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--show"], "--show does not work in a service"),
        (["--source", "-"], "--source - does not work in a service"),
        (["--model", "none.tflite"], "none.tflite: no such file; the service would fail at every start"),
        (["--save", "two\nlines"], "a unit cannot contain line breaks"),
        (["--save", "\udcff"], "a unit cannot contain line breaks"),
    ],
)
def test_what_makes_no_sense_in_a_service_is_refused(folder: Path, flags: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        read_flags(flags, RUN, folder)


def test_words_survive_the_way_into_the_unit_and_back() -> None:
    text = unit_text(unit(given=Given(tuple(NASTY), {}, (), ()), python="/home/ana/my env $1/bin/python"))

    words = words_of(settings(text)["ExecStart"])
    assert words == [":/home/ana/my env $1/bin/python", "-m", "fer_edge", "run", *NASTY]


def test_folders_that_are_written_to_are_open_and_all_others_are_not() -> None:
    folders = (Path("/home/ana/my faces"), Path("/srv/100%"))
    said = settings(unit_text(unit(given=Given((), {}, (), folders))))

    assert words_of(said["ReadWritePaths"]) == ["/home/ana/my faces", "/srv/100%"]
    assert (said["ProtectSystem"], said["ProtectHome"], said["NoNewPrivileges"]) == ("strict", "read-only", "yes")
    assert (said["PrivateTmp"], said["CapabilityBoundingSet"]) == ("yes", "")


@pytest.mark.parametrize(
    "given",
    [
        Given((), {}, (), (Path("/tmp/faces"),)),  # noqa: S108
        Given((), {}, (Path("/var/tmp/own.tflite"),), ()),  # noqa: S108
        Given(("--source", "/tmp/clip.mp4"), {}, (), ()),  # noqa: S108
    ],
)
def test_a_service_that_needs_the_machines_tmp_keeps_it(given: Given) -> None:
    assert settings(unit_text(unit(given=given)))["PrivateTmp"] == "no"


def test_a_service_stops_by_sigterm_starts_again_and_has_its_limits() -> None:
    said = settings(unit_text(unit()))

    assert (said["KillSignal"], said["TimeoutStopSec"]) == ("SIGTERM", "10")
    assert (said["Restart"], said["RestartPreventExitStatus"], said["StartLimitIntervalSec"]) == (
        "on-failure",
        "2",
        "0",
    )
    assert (said["StandardOutput"], said["StandardError"]) == ("null", "journal")
    assert (said["User"], said["SupplementaryGroups"], said["MemoryMax"]) == ("ana", "video", "1024M")
    assert said["WantedBy"] == "multi-user.target"
    assert "RestartSteps" not in said
    assert settings(unit_text(unit(growing_pauses=True)))["RestartMaxDelaySec"] == "300"


def test_a_group_that_is_not_there_is_not_asked_for() -> None:
    assert "SupplementaryGroups" not in settings(unit_text(unit(group_video=False)))


def test_a_service_of_a_user_asks_for_nothing_that_takes_root() -> None:
    said = settings(unit_text(unit(user=None)))

    assert {"User", "SupplementaryGroups", "ProtectSystem", "CapabilityBoundingSet"}.isdisjoint(said)
    assert (said["NoNewPrivileges"], said["WantedBy"]) == ("yes", "default.target")


@pytest.mark.parametrize("user", ["root", None])
def test_systemd_itself_finds_nothing_wrong(tmp_path: Path, user: str | None) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze, which comes with systemd")
    python = tmp_path / "my env" / "python $HOME 100 %"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    path = tmp_path / "fer-edge.service"
    given = Given(tuple(NASTY), {"FER_EDGE_SOURCE": "x"}, (), (Path("/home/a b/50 %"),))
    path.write_text(unit_text(unit(python=str(python), given=given, user=user)))

    command = ["systemd-analyze", *(["--user"] if user is None else []), "verify", "--man=no", str(path)]
    finished = subprocess.run(command, capture_output=True, text=True, env={"XDG_RUNTIME_DIR": str(tmp_path)})

    about_ours = [line for line in finished.stderr.splitlines() if "fer-edge" in line]
    assert about_ours == []


def test_what_is_secret_survives_the_way_into_its_file_and_back() -> None:
    text = environment_text({"B": 'p"a$s\\w`d % # x', "A": "1"})

    assert text == 'A="1"\nB="p\\"a\\$s\\\\w\\`d % # x"\n'
    shell = subprocess.run(["sh", "-c", f'{text}printf %s "$B"'], capture_output=True, text=True)
    assert shell.stdout == 'p"a$s\\w`d % # x'


def test_quoting_leaves_plain_words_alone() -> None:
    assert [quoted(word) for word in ("--source", "/dev/video0", "0.5", "")] == ["--source", "/dev/video0", "0.5", '""']
