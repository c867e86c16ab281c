"""The live page in a real browser: it loads, moves, follows the faces, and says when something is wrong."""

import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.images import Pixels
from fer_edge.labels import EXPRESSIONS
from fer_edge.recognizer import Face, Recognizer
from fer_edge.render import draw_face
from fer_edge.sources import Frame
from fer_edge.watch import Event, Result, Watcher

pytest.importorskip("starlette", reason="needs the extra [preview]: pip install '.[preview]'")
pytest.importorskip("playwright", reason="needs Playwright: pip install playwright")

from playwright.sync_api import sync_playwright

from fer_edge.preview.server import Preview

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: sudo apt-get install chromium")

PHONE, LAPTOP, NARROW = {"width": 390, "height": 844}, {"width": 1280, "height": 800}, {"width": 360, "height": 640}
BLACK, WHITE = np.zeros((240, 320, 3), np.uint8), np.full((240, 320, 3), 255, np.uint8)
_numbers = itertools.count()


def face(number: int = 0, label: str = "happiness", score: float = 0.83, side: int = 60) -> Face:
    rest = dict.fromkeys(EXPRESSIONS, (1 - score) / 7)
    return Face((40, 40, side, side), label, score, rest | {label: score}, 0.9, id=number)


def result(*faces: Face, frame_bgr: Pixels = BLACK, events: list[Event] | None = None) -> Result:
    index = next(_numbers)
    frame = Frame("front door", index, index / 20, frame_bgr, 4.0, 0.0, None, 20.0)
    ms = {"capture": 4.0, "detect": 2.0, "classify": 1.0, "total": 7.0}
    return Result(frame, list(faces), events or [], ms, 12, 23.0)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


Start = Callable[..., Preview]


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page whose console and requests are looked at in the end."""
    wrong: list[str] = []
    contexts = []

    def visit(address: str, **settings: Any) -> Any:
        context = browser.new_context(**{"viewport": LAPTOP, **settings})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if not inside(request.url) else None)
        page.wrong = wrong
        page.goto(address)
        return page

    def inside(url: str) -> bool:
        return url.startswith(("http://127.0.0.1:", "data:"))

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []


@contextmanager
def fed(preview: Preview, *results: Result) -> Iterator[None]:
    """Gives the results again and again, twenty a second."""
    over = threading.Event()

    def feed() -> None:
        for one in itertools.cycle(results):
            if over.wait(0.05):
                return
            preview.write(one)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def state(page: Any, text: str) -> None:
    """Wait until the page's state begins with `text`."""
    page.locator("#state", has_text=text).wait_for()


def see_picture(page: Any) -> None:
    """Wait until the first picture of the stream is there."""
    until = time.monotonic() + 8
    while page.evaluate("document.getElementById('picture').naturalWidth") != 320:
        assert time.monotonic() < until, "no picture"
        page.wait_for_timeout(20)


def bars(page: Any, number: int = 0) -> dict[str, tuple[str, int]]:
    """Name, written value and length in percent of each bar of the card at `number`, once they stand still."""
    page.wait_for_timeout(400)
    rows = page.locator(".face").nth(number).locator(".rows > div").all()
    lengths = "row => 100 * row.querySelector('i').offsetWidth / row.querySelector('.track').offsetWidth"
    return {
        row.locator("dt").inner_text(): (row.locator("dd").last.inner_text(), round(row.evaluate(lengths)))
        for row in rows
    }


def test_the_page_shows_what_is_going_on(started: Start, visit: Callable[..., Any]) -> None:
    preview = started()
    page = visit(preview.address)
    state(page, "Waiting for the first frame")
    with fed(preview, result(face(3))):
        state(page, "Live")
        page.locator(".face").wait_for()

        assert page.title() == "front door · fer-edge"
        assert page.locator("#about").inner_text().startswith("Model: edge, int8 · Device: Raspberry Pi 5 · fer-edge ")
        assert page.locator(".face header").inner_text().split("\n") == ["happiness", "83 %", "Face 3"]
        assert (page.locator("#dropped").inner_text(), page.locator("#age").inner_text()) == ("12", "23")
        page.wait_for_timeout(1200)
        assert 2 < float(page.locator("#fps").inner_text()) < 25
        stages = page.locator("#stages").inner_text().split("\n")
        assert [text for text in stages if text] == ["capture", "4.00 ms", "detect", "2.00 ms", "classify", "1.00 ms"]
        assert page.locator("#total").inner_text() == "7.0 ms in all"


def test_the_stream_moves(started: Start, visit: Callable[..., Any]) -> None:
    preview = started()
    preview.write(result(frame_bgr=BLACK))
    page = visit(preview.address)
    picture = page.locator("#picture")
    see_picture(page)
    dark = picture.screenshot()
    preview.write(result(frame_bgr=WHITE))
    page.wait_for_timeout(300)

    assert dark != picture.screenshot()
    assert page.locator("#waiting").is_hidden()


def test_bars_follow_the_faces(started: Start, visit: Callable[..., Any]) -> None:
    preview = started()
    page = visit(preview.address)
    for label, score in (("happiness", 0.93), ("fear", 0.51)):
        with fed(preview, result(face(1, label, score))):
            page.locator(".face h2", has_text=label).wait_for()
            shown = bars(page)

        rest = round(100 * (1 - score) / 7)
        assert list(shown) == list(EXPRESSIONS)
        assert shown.pop(label) == (f"{100 * score:.0f} %", round(100 * score))
        assert set(shown.values()) == {(f"{rest} %", rest)}


def test_bars_follow_a_clip_of_drawn_faces(started: Start, visit: Callable[..., Any], tiny: Path) -> None:
    preview = started()
    page = visit(preview.address)
    watcher = Watcher(Recognizer(tiny, detector="none"), smooth=None)
    for index, expression in enumerate(("happiness", "surprise", "neutral")):
        frame_bgr = draw_face(expression, seed=1, size=96)[0]
        seen = watcher.step(Frame("clip", index, index / 20, frame_bgr, 0.0, time.perf_counter(), None, 20.0))
        expected = {name: f"{100 * part:.0f} %" for name, part in seen.faces[0].probabilities.items()}
        with fed(preview, seen):
            page.locator(".face h2", has_text=seen.faces[0].label).wait_for()

            assert {name: value for name, (value, _) in bars(page).items()} == expected


def test_the_course_of_a_face_is_drawn_in_its_colours(started: Start, visit: Callable[..., Any]) -> None:
    preview = started()
    page = visit(preview.address)
    with fed(preview, result(face(1, "anger", 0.9))):
        page.locator(".face").wait_for()
        page.wait_for_timeout(1500)
        pixels = page.evaluate(
            "() => { const c = document.querySelector('.face canvas'), p = c.getContext('2d'), found = new Set();"
            "const d = p.getImageData(0, 0, c.width, c.height).data;"
            "for (let i = 0; i < d.length; i += 4) if (d[i + 3] === 255) found.add(`${d[i]},${d[i+1]},${d[i+2]}`);"
            "return [...found]; }"
        )
        spoken = page.locator(".face canvas").get_attribute("aria-label")

    assert "213,94,0" in pixels  # vermilion
    assert spoken == "Last 30 seconds, mostly anger"


def test_faces_come_and_go(started: Start, visit: Callable[..., Any]) -> None:
    preview = started()
    page = visit(preview.address)
    with fed(preview, result(face(1), face(2))):
        page.locator(".face").nth(1).wait_for()
        assert page.locator("#nobody").is_hidden()
    with fed(preview, result(face(2))):
        page.locator(".face.away").wait_for()
        page.locator(".face.away").wait_for(state="detached")
        assert page.locator(".face header span").all_inner_texts() == ["Face 2"]
    with fed(preview, result()):
        page.locator("#nobody").wait_for()


def test_of_fifty_faces_the_largest_are_shown(started: Start, visit: Callable[..., Any]) -> None:
    preview = started()
    page = visit(preview.address)
    with fed(preview, result(*(face(number, side=20 + number) for number in range(50)))):
        page.locator("#more", has_text="and 42 more faces").wait_for()

        shown = page.locator(".face header span").all_inner_texts()
        assert sorted(shown) == [f"Face {number}" for number in range(42, 50)]


def test_a_label_is_text_whatever_it_says(started: Start, visit: Callable[..., Any]) -> None:
    preview = started()
    page = visit(preview.address)
    label = "<img src=x onerror=alert(1)>"
    one = Face((0, 0, 9, 9), label, 1.0, {label: 1.0}, 1.0, id=0)
    with fed(preview, result(one)):
        page.locator(".face").wait_for()

        assert page.locator(".face h2").inner_text() == label
        assert page.locator(".face img").count() == 0


@pytest.mark.parametrize("viewport", [NARROW, PHONE, LAPTOP], ids=["narrow", "phone", "laptop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen_in_light_and_dark(
    started: Start, visit: Callable[..., Any], tmp_path: Path, viewport: dict[str, int], scheme: str
) -> None:
    preview = started()
    with fed(preview, result(*(face(number) for number in range(3)))):
        page = visit(preview.address, viewport=viewport, color_scheme=scheme)
        page.locator(".face").nth(2).wait_for()
        state(page, "Live")
        wide = page.evaluate("document.documentElement.scrollWidth")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        beside = page.locator(".face").first.bounding_box()["x"] > page.locator("#picture").bounding_box()["width"]

    assert wide == viewport["width"]
    assert background == {"light": "rgb(246, 245, 242)", "dark": "rgb(22, 24, 29)"}[scheme]
    assert beside is (viewport is LAPTOP)


def test_pause_keeps_the_picture_and_costs_the_camera_nothing(started: Start, visit: Callable[..., Any]) -> None:
    preview = started()
    page = visit(preview.address)
    with fed(preview, result(face(1), frame_bgr=BLACK), result(face(1), frame_bgr=WHITE)):
        state(page, "Live")
        see_picture(page)
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        state(page, "Paused")
        page.wait_for_timeout(300)
        encoded, still = preview.pictures.encoded, page.locator("#picture").screenshot()
        page.wait_for_timeout(500)

        assert preview.pictures.encoded == encoded
        assert page.locator("#picture").screenshot() == still
        assert page.locator("#picture").get_attribute("src").startswith("data:image/jpeg")

        page.keyboard.press("Enter")
        state(page, "Live")
        page.wait_for_timeout(500)
        assert preview.pictures.encoded > encoded


def test_a_second_page_costs_the_camera_nothing(started: Start, visit: Callable[..., Any]) -> None:
    preview = started()
    pages = [visit(preview.address), visit(preview.address)]
    preview.write(result())
    for page in pages:
        see_picture(page)
    for _ in range(9):
        preview.write(result())
        pages[0].wait_for_timeout(60)

    assert 2 <= preview.pictures.encoded <= 10


def test_a_page_that_nobody_sees_costs_the_camera_nothing(started: Start, visit: Callable[..., Any]) -> None:
    preview = started()
    page = visit(preview.address)
    with fed(preview, result(face(1))):
        state(page, "Live")
        hide = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        hide += "document.dispatchEvent(new Event('visibilitychange')); }"
        page.evaluate(hide, True)
        page.wait_for_timeout(300)
        encoded = preview.pictures.encoded
        page.wait_for_timeout(300)
        assert preview.pictures.encoded == encoded

        page.evaluate(hide, False)
        page.wait_for_timeout(500)
        assert preview.pictures.encoded > encoded


def test_it_says_when_no_frames_arrive(started: Start, visit: Callable[..., Any]) -> None:
    preview = started(stale_after_s=0.5)
    preview.write(result(face(1)))
    page = visit(preview.address)
    state(page, "No new frame for")

    assert page.locator("#page").get_attribute("class") == "still"
    with fed(preview, result(face(1))):
        state(page, "Live")
        assert page.locator("#page").get_attribute("class") == ""


def test_a_lost_connection_is_said_and_comes_back(started: Start, visit: Callable[..., Any]) -> None:
    preview = started()
    page = visit(preview.address)
    with fed(preview, result(face(1))):
        state(page, "Live")
    preview.close()
    state(page, "Connection lost, trying again")

    again = started(port=preview.port)
    with fed(again, result(face(2), frame_bgr=WHITE)):
        state(page, "Live")
        page.locator(".face header span", has_text="Face 2").wait_for()
        page.wait_for_timeout(300)
        assert again.pictures.encoded > 0
    refused = [text for text in page.wrong if "ERR_CONNECTION_REFUSED" in text or "ERR_" in text]
    page.wrong[:] = [text for text in page.wrong if text not in refused]


def test_a_token_opens_the_page_and_leaves_the_address(started: Start, visit: Callable[..., Any]) -> None:
    preview = started(token="abc-123-xyz")
    with fed(preview, result(face(1))):
        page = visit(preview.address)
        state(page, "Live")

        assert page.url == f"http://127.0.0.1:{preview.port}/"
        see_picture(page)


def test_a_token_can_be_typed(started: Start, visit: Callable[..., Any]) -> None:
    preview = started(token="abc-123-xyz")
    page = visit(f"http://127.0.0.1:{preview.port}/", viewport=PHONE)
    assert page.locator("h1").inner_text() == "This page asks for a token"
    page.keyboard.type("wrong-wrong")
    page.keyboard.press("Enter")
    page.locator("h1", has_text="That is not the token").wait_for()
    page.keyboard.type("abc-123-xyz")
    page.keyboard.press("Enter")
    state(page, "Waiting for the first frame")

    page.wrong[:] = [text for text in page.wrong if "401" not in text]


def test_a_new_token_is_asked_for(started: Start, visit: Callable[..., Any]) -> None:
    preview = started(token="abc-123-xyz")
    page = visit(preview.address)
    state(page, "Waiting")
    preview.close()
    started(port=preview.port, token="another-one")
    state(page, "Open the address that fer-edge printed")

    page.wrong[:] = [text for text in page.wrong if "401" not in text and "ERR_" not in text]


def test_changes_can_be_heard_and_motion_can_be_less(started: Start, visit: Callable[..., Any]) -> None:
    preview = started()
    page = visit(preview.address, reduced_motion="reduce")
    preview.write(result(face(4)))
    page.locator(".face").wait_for()
    preview.write(result(face(4), events=[Event(1.0, 4, "neutral", "happiness")]))
    page.locator("#heard", has_text="Face 4: happiness").wait_for(state="attached")

    assert page.locator("#heard").get_attribute("role") == "log"
    assert page.locator("#state").get_attribute("role") == "status"
    assert page.evaluate("getComputedStyle(document.querySelector('.track i')).transitionDuration") == "0s"
