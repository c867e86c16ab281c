import threading

import pytest

from fer_edge.native_logs import quiet


def test_two_threads_that_load_something_give_stdout_back(capfd: pytest.CaptureFixture[str]) -> None:
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with quiet():
            first_in.set()
            second_in.wait(0.05)  # it comes in only if nothing keeps it out
        first_out.set()

    def second() -> None:
        first_in.wait(5)
        with quiet():
            second_in.set()
            first_out.wait(5)

    threads = [threading.Thread(target=one) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    print("still there")
    assert capfd.readouterr().out == "still there\n"
