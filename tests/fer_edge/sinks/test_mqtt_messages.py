"""What is said by MQTT, to whom, and below which topic."""

import re
import socket

import numpy as np
import pytest

pytest.importorskip("paho", reason="needs the extra [mqtt]: pip install '.[mqtt]'")

from fer_edge.errors import UsageError
from fer_edge.sinks.mqtt import STATE_EVERY_S, discovery, dominant, state_as_json
from fer_edge.sinks.mqtt_broker import Broker, checked_topic, default_topic, parsed_broker
from fer_edge.sources import Frame
from fer_edge.tracking.pipeline import Result
from support.mosquitto import LABELS, face


@pytest.mark.parametrize(
    ("address", "broker"),
    [
        ("mqtt://pi", Broker("pi", 1883, False, None, "from-outside")),
        ("mqtts://pi", Broker("pi", 8883, True, None, "from-outside")),
        ("mqtt://anna@10.0.0.9:1884/", Broker("10.0.0.9", 1884, False, "anna", "from-outside")),
        ("mqtt://anna:p%40ss%3A@pi", Broker("pi", 1883, False, "anna", "p@ss:")),
        ("mqtt://[::1]:1884", Broker("::1", 1884, False, None, "from-outside")),
    ],
)
def test_an_address_names_the_broker(address: str, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_EDGE_MQTT_PASSWORD", "from-outside")

    assert parsed_broker(address) == broker


@pytest.mark.parametrize(
    "address",
    [
        "pi", "", "http://anna:s3cret@pi", "mqtt://", "mqtt://anna:s3cret@", "mqtt://anna:s3cret@pi:70000",
        "mqtt://anna:s3cret@pi:x", "mqtt://anna:s3/cret@pi", "mqtt://anna:s3#cret@pi", "mqtt://anna:s3cret@pi/topic",
        f"mqtt://anna:s3cret@{'x' * 70}", "mqtt://anna:s3cret@pi?x=1", "mqtt://anna:s3cret@[pi",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(UsageError, match=r"not a broker address") as refused:
        parsed_broker(address)

    assert "s3" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_broker_does_not_show_its_password() -> None:
    broker = parsed_broker("mqtt://anna:s3cret@pi")

    assert "s3cret" not in f"{broker} {broker!r}"


@pytest.mark.parametrize("topic", ["", "a//b", "/a", "a/", "a/+", "#", "$SYS", "a\nb", "x" * 300, "\udcff"])
def test_a_topic_below_which_nothing_can_be_said_is_refused(topic: str) -> None:
    with pytest.raises(UsageError, match="--mqtt-topic"):
        checked_topic(topic)


def test_the_default_topic_is_one_whatever_machine_and_source_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pi4.local", "k\u00fcche #1/+", ""):
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        topics = {default_topic(source) for source in ("camera 0", "camera 1", "küche/#1.mp4", "rtsp://***@10.0.0.9/+")}
        assert len(topics) == 4
        assert all(checked_topic(topic).startswith("fer-edge/") for topic in topics)


@pytest.mark.parametrize(
    ("faces", "label"),
    [
        ([], None),
        ([("uncertain", 0.3)], "uncertain"),
        ([("uncertain", 0.3), ("uncertain", 0.4), ("neutral", 0.5)], "neutral"),
        ([("neutral", 0.9), ("happiness", 0.5), ("happiness", 0.6)], "happiness"),
        ([("neutral", 0.7), ("happiness", 0.9)], "happiness"),
    ],
)
def test_the_dominant_expression_is_that_of_most_faces(faces: list[tuple[str, float]], label: str | None) -> None:
    assert dominant([face(number, *one) for number, one in enumerate(faces)]) == label


def test_home_assistant_gets_three_entities_of_one_device() -> None:
    configs = discovery("home/k\u00fcche", LABELS, "edge")

    assert list(configs) == [
        "homeassistant/sensor/home_k_che/expression/config",
        "homeassistant/sensor/home_k_che/faces/config",
        "homeassistant/binary_sensor/home_k_che/face/config",
    ]
    expression, faces, present = configs.values()
    assert expression["options"] == ["neutral", "happiness", "uncertain"]
    assert {one["state_topic"] for one in configs.values()} == {"home/k\u00fcche/state"}
    assert {one["availability_topic"] for one in configs.values()} == {"home/k\u00fcche/availability"}
    assert len({one["unique_id"] for one in configs.values()}) == 3
    assert expression["device"] == faces["device"] == present["device"]
    assert (present["device"]["name"], present["device"]["model"]) == ("fer-edge k\u00fcche", "edge")


def test_each_entity_says_what_home_assistant_requires_of_it() -> None:
    """As its documentation of MQTT discovery, sensor.mqtt and binary_sensor.mqtt says, and its schema checks."""
    result = Result(Frame("camera 0", 0, 0.0, np.zeros((4, 4, 3), np.uint8), 0.0, 0.0, None, 10), [])
    for topic, config in discovery("home/hall", LABELS, "").items():
        component, node, name = re.fullmatch(  # only these signs are found
            r"homeassistant/(sensor|binary_sensor)/([A-Za-z0-9_-]+)/([A-Za-z0-9_-]+)/config", topic
        ).groups()  # type: ignore[union-attr]
        assert config["unique_id"] == f"{node}_{name}"  # without one there is no device
        assert config["device"]["identifiers"] == [node]
        assert config["device"]["name"] not in config["name"]  # which Home Assistant puts before it
        assert config["origin"]["name"] == "fer-edge"
        assert config["expire_after"] > 10 * STATE_EVERY_S
        assert not {"availability", "payload_available", "payload_not_available"} & set(config)  # online and offline
        assert ("options" in config) == (config.get("device_class") == "enum")
        assert not ("options" in config and {"state_class", "unit_of_measurement"} & set(config))
        assert not (component == "binary_sensor" and {"state_class", "options"} & set(config))
        asked = set(re.findall(r"value_json\.(\w+)", config["value_template"]))
        assert asked
        assert asked <= set(state_as_json(result))
