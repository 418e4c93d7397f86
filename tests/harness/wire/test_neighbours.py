"""vcrpy beside a recording is refused in either order; a mock's answers and an empty recording are said."""

from __future__ import annotations

import threading
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import httpx
import pytest
import vcr

from harness.wire.http_recording import read_http
from harness.wire.neighbours import mocks_below
from harness.wire.session import record_http
from runtime.errors import UsageError

BOTH = "a cassette of vcrpy and a recording of goldrun are open for the same calls"


def ask(url: str) -> int:
    return int(httpx.post(url + "/echo", json={"q": 1}, trust_env=False).status_code)


@pytest.mark.parametrize("mode", ["record", "replay"])
def test_a_recording_inside_a_cassette_of_vcrpy_is_refused(server: Any, tmp_path: Path, mode: Any) -> None:
    with record_http(tmp_path / "ours"):
        ask(server.url)

    with vcr.use_cassette(str(tmp_path / "theirs.yaml")):
        with pytest.raises(UsageError, match=BOTH), record_http(tmp_path / "ours", mode=mode):
            pass
        answer = ask(server.url)

    assert answer == 200
    assert (tmp_path / "theirs.yaml").exists()
    assert len(read_http(tmp_path / "ours.jsonl").exchanges) == 1


@pytest.mark.parametrize("mode", ["record", "replay"])
def test_a_cassette_of_vcrpy_inside_a_recording_is_refused(server: Any, tmp_path: Path, mode: Any) -> None:
    with record_http(tmp_path / "ours"):
        ask(server.url)

    with record_http(tmp_path / "ours", mode=mode) as session:
        with pytest.raises(UsageError, match=BOTH), vcr.use_cassette(str(tmp_path / "theirs.yaml")):
            pass
        ask(server.url)

    assert session.count == 1
    assert not (tmp_path / "theirs.yaml").exists()


def test_a_function_decorated_by_vcrpy_is_refused_inside_a_recording(server: Any, tmp_path: Path) -> None:
    @vcr.use_cassette(str(tmp_path / "theirs.yaml"))  # type: ignore[untyped-decorator]  # vcrpy is untyped
    def call() -> int:
        return ask(server.url)

    with pytest.raises(UsageError, match=BOTH), record_http(tmp_path / "ours", mode="record"):
        call()

    assert server.seen == []


def test_vcrpy_works_in_a_thread_that_no_recording_is_bound_to(server: Any, tmp_path: Path) -> None:
    answers: list[bytes] = []
    go = threading.Event()

    def elsewhere() -> None:
        go.wait()
        with vcr.use_cassette(str(tmp_path / "theirs.yaml")):
            answers.append(urllib.request.urlopen(server.url + "/echo").read())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    with record_http(tmp_path / "ours") as session:
        ask(server.url)
        go.set()
        thread.join()

    assert answers == [b'{"echo":null}']
    assert session.count == 1
    assert "/echo" in (tmp_path / "theirs.yaml").read_text(encoding="utf-8")


def test_sessions_nest_and_vcrpy_works_before_and_after_them(server: Any, tmp_path: Path) -> None:
    with vcr.use_cassette(str(tmp_path / "before.yaml")):
        ask(server.url)
    with record_http(tmp_path / "outer") as outer:
        ask(server.url)
        with record_http(tmp_path / "inner") as inner:
            ask(server.url)
    with vcr.use_cassette(str(tmp_path / "after.yaml")) as after:
        ask(server.url)

    assert (outer.count, inner.count) == (1, 1)
    assert len(after.data) == 1


def test_a_wrapper_that_somebody_put_back_records_no_call_twice(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = httpx.HTTPTransport.handle_request
    with record_http(tmp_path / "first"):
        ask(server.url)
        ours = httpx.HTTPTransport.handle_request
        monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda *arguments: ours(*arguments))
    monkeypatch.undo()  # as a mock's fixture does that ends after the recording: it puts back what it found
    left_behind = httpx.HTTPTransport.handle_request

    with record_http(tmp_path / "second") as second:
        ask(server.url)
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", original)

    assert left_behind is ours
    assert second.count == 1


def test_a_recording_with_traffic_warns_of_nothing(server: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with record_http(tmp_path / "a"):
            ask(server.url)
        with record_http(tmp_path / "a") as replayed:
            pass

    assert replayed.is_replay


def test_a_recording_that_failed_does_not_warn_that_it_is_empty(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(KeyError), record_http(tmp_path / "a"):
            raise KeyError("the test's own")


def test_without_a_mock_library_no_mock_is_named() -> None:
    assert mocks_below() == ()
