"""The live page in a real browser: it loads, moves, follows the faces, and fits every screen."""

import time
from pathlib import Path
from typing import Any

import pytest

from fer_edge.labels import EXPRESSIONS
from fer_edge.recognition.recognizer import Face, Recognizer
from fer_edge.sources import Frame
from fer_edge.synthetic.render import draw_face
from fer_edge.tracking.pipeline import Event, Pipeline
from support.browsing import BLACK, LAPTOP, NARROW, PHONE, WHITE, Start, Visit, face, fed, result, see_picture, state


def bars(page: Any, number: int = 0) -> dict[str, tuple[str, int]]:
    """Name, written value and length in percent of each bar of the card at `number`, once they stand still."""
    page.wait_for_timeout(400)
    rows = page.locator(".face").nth(number).locator(".rows > div").all()
    lengths = "row => 100 * row.querySelector('i').offsetWidth / row.querySelector('.track').offsetWidth"
    return {
        row.locator("dt").inner_text(): (row.locator("dd").last.inner_text(), round(row.evaluate(lengths)))
        for row in rows
    }


def test_the_page_shows_what_is_going_on(started: Start, visit: Visit) -> None:
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
        assert page.locator("#total").inner_text() == "7.0 ms in total"


def test_the_stream_moves(started: Start, visit: Visit) -> None:
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


def test_bars_follow_the_faces(started: Start, visit: Visit) -> None:
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


def test_bars_follow_a_clip_of_drawn_faces(started: Start, visit: Visit, tiny: Path) -> None:
    preview = started()
    page = visit(preview.address)
    watcher = Pipeline(Recognizer(tiny, detector="none"), smooth=None)
    for index, expression in enumerate(("happiness", "surprise", "neutral")):
        frame_bgr = draw_face(expression, seed=1, size=96)[0]
        seen = watcher.step(Frame("clip", index, index / 20, frame_bgr, 0.0, time.perf_counter(), None, 20.0))
        expected = {name: f"{100 * part:.0f} %" for name, part in seen.faces[0].probabilities.items()}
        with fed(preview, seen):
            page.locator(".face h2", has_text=seen.faces[0].label).wait_for()

            assert {name: value for name, (value, _) in bars(page).items()} == expected


def test_the_course_of_a_face_is_drawn_in_its_colours(started: Start, visit: Visit) -> None:
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


def test_faces_come_and_go(started: Start, visit: Visit) -> None:
    preview = started()
    page = visit(preview.address)
    with fed(preview, result(face(1), face(2))):
        page.locator(".face").nth(1).wait_for()
        assert page.locator("#no-face").is_hidden()
    with fed(preview, result(face(2))):
        page.locator(".face.away").wait_for()
        page.locator(".face.away").wait_for(state="detached")
        assert page.locator(".face header span").all_inner_texts() == ["Face 2"]
    with fed(preview, result()):
        page.locator("#no-face").wait_for()


def test_a_new_face_stands_before_those_that_left_and_has_room(started: Start, visit: Visit) -> None:
    preview = started()
    page = visit(preview.address)
    with fed(preview, result(*(face(number) for number in range(8)))):
        page.locator(".face").nth(7).wait_for()
    with fed(preview, result(face(8))):
        page.locator(".face:first-child:has-text('Face 8') ~ .face.away:nth-child(9)").wait_for()

        assert page.locator("#more").inner_text() == ""


@pytest.mark.parametrize("label", ["fear", "uncertain"])
def test_the_bar_of_what_is_named_stands_out(started: Start, visit: Visit, label: str) -> None:
    preview = started()
    page = visit(preview.address)
    probs = dict.fromkeys(EXPRESSIONS, 0.05) | {"fear": 0.30, "anger": 0.40}
    with fed(preview, result(Face((0, 0, 9, 9), label, 0.3, probs, 0.9, id=0))):
        page.locator(".face").wait_for()

        assert page.locator(".top-row dt").all_inner_texts() == [label if label in probs else "anger"]


def test_of_fifty_faces_the_largest_are_shown(started: Start, visit: Visit) -> None:
    preview = started()
    page = visit(preview.address)
    with fed(preview, result(*(face(number, side=20 + number) for number in range(50)))):
        page.locator("#more", has_text="and 42 more faces").wait_for()

        shown = page.locator(".face header span").all_inner_texts()
        assert sorted(shown) == [f"Face {number}" for number in range(42, 50)]


def test_a_label_is_text_whatever_it_says(started: Start, visit: Visit) -> None:
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
    started: Start, visit: Visit, tmp_path: Path, viewport: dict[str, int], scheme: str
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


def test_changes_can_be_heard_and_motion_can_be_less(started: Start, visit: Visit) -> None:
    preview = started()
    page = visit(preview.address, reduced_motion="reduce")
    preview.write(result(face(4)))
    page.locator(".face").wait_for()
    preview.write(result(face(4), events=[Event(1.0, 4, "neutral", "happiness")]))
    page.locator("#heard", has_text="Face 4: happiness").wait_for(state="attached")

    assert page.locator("#heard").get_attribute("role") == "log"
    assert page.locator("#state").get_attribute("role") == "status"
    assert page.evaluate("getComputedStyle(document.querySelector('.track i')).transitionDuration") == "0s"
