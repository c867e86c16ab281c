"""The live page in a real browser: what it costs whom, what it says when something is wrong, and who may see it."""

from support.browsing import BLACK, PHONE, WHITE, Start, Visit, face, fed, result, see_picture, state


def test_pause_keeps_the_picture_and_costs_the_camera_nothing(started: Start, visit: Visit) -> None:
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


def test_a_second_page_costs_the_camera_nothing(started: Start, visit: Visit) -> None:
    preview = started()
    pages = [visit(preview.address), visit(preview.address)]
    preview.write(result())
    for page in pages:
        see_picture(page)
    for _ in range(9):
        preview.write(result())
        pages[0].wait_for_timeout(60)

    assert 2 <= preview.pictures.encoded <= 10


def test_a_hidden_page_costs_the_camera_nothing(started: Start, visit: Visit) -> None:
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


def test_it_says_when_no_frames_arrive(started: Start, visit: Visit) -> None:
    preview = started(stale_after_s=0.5)
    preview.write(result(face(1)))
    page = visit(preview.address)
    state(page, "No new frame for")

    assert page.locator("#page").get_attribute("class") == "still"
    with fed(preview, result(face(1))):
        state(page, "Live")
        assert page.locator("#page").get_attribute("class") == ""


def test_at_the_end_of_a_source_the_last_frame_stays_also_for_who_comes_later(started: Start, visit: Visit) -> None:
    preview = started(stale_after_s=0.1)
    page = visit(preview.address)
    with fed(preview, result(face(1))):
        state(page, "Live")
        page.locator(".face").wait_for()
    preview.state.close()
    state(page, "The source has ended")
    later = visit(preview.address)
    state(later, "The source has ended")

    for one in (page, later):
        see_picture(one)
        one.wait_for_timeout(1500)
        assert one.locator(".face header span").all_inner_texts() == ["Face 1"]
        assert one.locator("#page").get_attribute("class") == ""  # not grey
        assert one.locator("#age").inner_text() == "23"


def test_a_lost_connection_is_said_and_comes_back(started: Start, visit: Visit) -> None:
    preview = started()
    page = visit(preview.address)
    with fed(preview, result(face(1))):
        state(page, "Live")
    preview.close()
    state(page, "Connection lost, retrying")

    again = started(port=preview.port)
    with fed(again, result(face(2), frame_bgr=WHITE)):
        state(page, "Live")
        page.locator(".face header span", has_text="Face 2").wait_for()
        page.wait_for_timeout(300)
        assert again.pictures.encoded > 0
    refused = [text for text in page.faults if "ERR_CONNECTION_REFUSED" in text or "ERR_" in text]
    page.faults[:] = [text for text in page.faults if text not in refused]


def test_a_token_opens_the_page_and_leaves_the_address(started: Start, visit: Visit) -> None:
    preview = started(token="abc-123-xyz")
    with fed(preview, result(face(1))):
        page = visit(preview.address)
        state(page, "Live")

        assert page.url == f"http://127.0.0.1:{preview.port}/"
        see_picture(page)


def test_a_token_can_be_typed(started: Start, visit: Visit) -> None:
    preview = started(token="abc-123-xyz")
    page = visit(f"http://127.0.0.1:{preview.port}/", viewport=PHONE)
    assert page.locator("h1").inner_text() == "This page requires a token"
    page.keyboard.type("wrong-wrong")
    page.keyboard.press("Enter")
    page.locator("h1", has_text="Wrong token").wait_for()
    page.keyboard.type("abc-123-xyz")
    page.keyboard.press("Enter")
    state(page, "Waiting for the first frame")

    page.faults[:] = [text for text in page.faults if "401" not in text]


def test_a_new_token_is_asked_for(started: Start, visit: Visit) -> None:
    preview = started(token="abc-123-xyz")
    page = visit(preview.address)
    state(page, "Waiting")
    preview.close()
    started(port=preview.port, token="another-one")
    state(page, "Open the address that fer-edge printed")

    page.faults[:] = [text for text in page.faults if "401" not in text and "ERR_" not in text]
