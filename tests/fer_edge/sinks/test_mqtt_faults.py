"""A broker that is gone, stuck or refuses the connection is reported and reconnected to, and delays nothing."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable

import pytest

from fer_edge.sinks.mqtt import MqttSink
from fer_edge.sinks.mqtt_broker import Broker, parsed_broker
from fer_edge.tracking.pipeline import Event
from support.mosquitto import TOPIC, Listener, Messages, Mosquitto, connected, face, needs_mosquitto, result

Listen = Callable[..., Listener]
Sinks = Callable[..., tuple[MqttSink, Messages]]


@needs_mosquitto
def test_a_broker_that_is_stopped_and_started_again_knows_everything_again(
    mosquitto: Mosquitto, listen: Listen, joined: Callable[..., tuple[Listener, MqttSink, Messages]]
) -> None:
    listener, sink, told = joined()
    sink.write(result(0.0, [face(7, "neutral")], [Event(0.0, 7, None, "neutral")]))

    mosquitto.stop()
    told.wait(1)
    begun = time.perf_counter()
    for index in range(1000):
        sink.write(result(index / 10, [face(7, "happiness")], [Event(index / 10, 7, "neutral", "happiness")]))
    assert time.perf_counter() - begun < 1
    listener.forget()
    mosquitto.start()
    told.wait(2)

    after = listen(mosquitto.broker)
    connected(after)
    after.until("homeassistant/sensor/fer-edge_kitchen/faces/config")
    sink.write(result(100.0, [face(7, "happiness")]))  # nothing changes, but this broker has not heard of it
    assert json.loads(after.until(f"{TOPIC}/face/7"))["label"] == "happiness"
    assert json.loads(after.until(f"{TOPIC}/state"))["t"] == 100.0
    lost, back = told.lines
    assert lost.startswith(f"MQTT broker 127.0.0.1:{mosquitto.port} ended the connection")
    assert lost.endswith("; retrying")
    assert back == f"MQTT broker 127.0.0.1:{mosquitto.port} is back"


@needs_mosquitto
def test_a_broker_that_is_not_there_at_first_is_told_once_and_found_later(
    mosquitto: Mosquitto, listen: Listen, mqtt: Sinks
) -> None:
    sink, told = mqtt(mosquitto.broker)
    sink.write(result(0.0, []))
    told.wait(1)
    mosquitto.start()
    told.wait(2)

    connected(listen(mosquitto.broker))
    assert "does not answer ([Errno 111] Connection refused); retrying" in told.lines[0]
    assert told.lines[1].endswith("is back")


@needs_mosquitto
def test_a_password_opens_the_broker_and_a_wrong_one_is_told_but_not_shown(
    mosquitto: Mosquitto, listen: Listen, mqtt: Sinks
) -> None:
    passwords = mosquitto.folder / "passwords"
    maker = shutil.which("mosquitto_passwd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert maker
    subprocess.run([maker, "-b", "-c", str(passwords), "anna", "s3c:ret@"], check=True, capture_output=True)
    passwords.chmod(0o644)
    mosquitto.start("allow_anonymous false", f"password_file {passwords}")
    listener = listen(mosquitto.broker, user="anna", password="s3c:ret@")

    _, told = mqtt(parsed_broker(f"mqtt://anna:wr0ng@127.0.0.1:{mosquitto.port}"))
    (line,) = told.wait(1)
    assert "refuses the connection (Not authorized); check user and password" in line
    assert "wr0ng" not in line
    mqtt(parsed_broker(f"mqtt://anna:s3c%3Aret%40@127.0.0.1:{mosquitto.port}"))
    connected(listener)


def test_something_else_at_the_port_is_told_and_does_not_hold_up_the_end(mqtt: Sinks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing, like a stuck broker
        sink, told = mqtt(Broker("127.0.0.1", silent.getsockname()[1], tls=False))
        connection, _ = silent.accept()
        begun = time.perf_counter()
        for _ in range(100):
            sink.write(result(0.0, [face(7, "neutral")], [Event(0.0, 7, None, "neutral")]))
        connection.close()
        (line,) = told.wait(1)
        sink.close()

    assert "ended the connection" in line
    assert time.perf_counter() - begun < 3


def test_tls_is_not_talked_to_those_who_do_not_know_it(mqtt: Sinks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        _, told = mqtt(Broker("127.0.0.1", plain.getsockname()[1], tls=True))
        connection, _ = plain.accept()
        connection.sendall(b"220 welcome\r\n" * 10)
        (line,) = told.wait(1)
        connection.close()

    assert "failed TLS verification" in line
    assert "mqtts://" in line


@needs_mosquitto
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl: sudo apt install openssl")
def test_a_broker_with_tls_is_talked_to_where_its_authority_is_trusted(
    mosquitto: Mosquitto, listen: Listen, mqtt: Sinks, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = mosquitto.make_certificate("localhost")
    mosquitto.start("allow_anonymous true", f"certfile {certificate}", f"keyfile {mosquitto.folder / 'key.pem'}")
    address = f"mqtts://localhost:{mosquitto.port}"

    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    _, told = mqtt(parsed_broker(address))
    (line,) = told.wait(1)
    assert "failed TLS verification ([" in line
    assert "CERTIFICATE_VERIFY_FAILED" in line
    assert "for your own CA set SSL_CERT_FILE" in line

    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    sink, told = mqtt(parsed_broker(address))
    listener = listen(parsed_broker(address))
    connected(listener)
    sink.write(result(0.0, [face(7, "neutral")], [Event(0.0, 7, None, "neutral")]))
    assert json.loads(listener.until(f"{TOPIC}/face/7"))["label"] == "neutral"
    assert told.lines == []

    _, told = mqtt(parsed_broker(address.replace("localhost", "127.0.0.1")))  # the certificate is of another host
    (line,) = told.wait(1)
    assert "failed TLS verification ([" in line
