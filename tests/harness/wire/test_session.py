"""Sessions: isolation of contexts, what is patched and unpatched, misses, files, decorators."""

from __future__ import annotations

import asyncio
import http.client
import json
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.errors import CassetteError
from harness.wire.http_recording import read_http
from harness.wire.misses import Unanswered, WireMiss
from harness.wire.session import Mode, record_http
from runtime.errors import UsageError


def ask(url: str, value: Any) -> Any:
    return httpx.post(url + "/echo", json={"q": value}).json()


def asked(path: Path) -> list[Any]:
    return [json.loads(str(e.request.body))["q"] for e in read_http(path).exchanges]


def patched_places() -> list[Any]:
    import httpx2
    import vcr.patch

    return [
        httpx.HTTPTransport.handle_request,
        httpx.AsyncHTTPTransport.handle_async_request,
        httpx2.HTTPTransport.handle_request,
        httpx2.AsyncHTTPTransport.handle_async_request,
        http.client.HTTPConnection.__init__,
        http.client.HTTPSConnection.__init__,
        threading.Thread.start,
        ThreadPoolExecutor.submit,
        vcr.patch.force_reset,
    ]


def test_everything_is_unpatched_after_the_last_of_nested_sessions(server: Any, tmp_path: Path) -> None:
    before = patched_places()

    with record_http(tmp_path / "a"):
        with record_http(tmp_path / "b"):
            ask(server.url, "inner")
        ask(server.url, "outer")
        during = patched_places()
    after = patched_places()

    assert after == before
    assert during != before
    assert http.client.HTTPConnection("127.0.0.1").__class__ is http.client.HTTPConnection
    assert asked(tmp_path / "a.jsonl") == ["outer"]
    assert asked(tmp_path / "b.jsonl") == ["inner"]


def test_everything_is_unpatched_after_an_error(tmp_path: Path) -> None:
    before = patched_places()

    with pytest.raises(ZeroDivisionError), record_http(tmp_path / "a"):
        raise ZeroDivisionError

    assert patched_places() == before


def test_two_recordings_in_two_tasks_stay_apart_and_traffic_outside_is_untouched(
    server: Any, tmp_path: Path
) -> None:
    async def run(name: str) -> None:
        with record_http(tmp_path / name):
            async with httpx.AsyncClient() as client:
                for i in range(50):
                    await client.post(server.url + "/echo", json={"q": f"{name}{i}"})

    async def outside() -> None:
        async with httpx.AsyncClient() as client:
            for i in range(50):
                await client.post(server.url + "/echo", json={"q": f"outside{i}"})

    async def main() -> None:
        await asyncio.gather(run("a"), run("b"), outside())

    asyncio.run(main())

    assert asked(tmp_path / "a.jsonl") == [f"a{i}" for i in range(50)]
    assert asked(tmp_path / "b.jsonl") == [f"b{i}" for i in range(50)]
    assert len(server.seen) == 150


def test_two_recordings_of_500_calls_in_8_threads_hold_no_foreign_record(server: Any, tmp_path: Path) -> None:
    def work(name: str) -> None:
        with record_http(tmp_path / name), httpx.Client() as client, ThreadPoolExecutor(4) as pool:
            jobs = [
                pool.submit(client.post, server.url + "/echo", json={"q": f"{name}{i}"}) for i in range(500)
            ]
            assert [job.result().json() for job in jobs] == [
                {"echo": {"q": f"{name}{i}"}} for i in range(500)
            ]

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for name in "ab":
        assert sorted(asked(tmp_path / f"{name}.jsonl")) == sorted(f"{name}{i}" for i in range(500))


def test_threads_that_the_block_starts_are_recorded_and_others_are_not(server: Any, tmp_path: Path) -> None:
    go = threading.Event()

    def later() -> None:
        go.wait()
        ask(server.url, "outside")

    foreign = threading.Thread(target=later)
    foreign.start()

    with record_http(tmp_path / "a"):
        own = threading.Thread(target=ask, args=(server.url, "inside"))
        own.start()
        own.join()
        go.set()
        foreign.join()

    assert asked(tmp_path / "a.jsonl") == ["inside"]


def _child(url: str, path: str) -> None:
    with record_http(path):
        for i in range(50):
            ask(url, f"child{i}")


def test_two_processes_record_to_files_of_their_own(server: Any, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    child = context.Process(target=_child, args=(server.url, str(tmp_path / "child")))
    child.start()
    with record_http(tmp_path / "parent"):
        for i in range(50):
            ask(server.url, f"parent{i}")
    child.join()

    assert child.exitcode == 0
    assert asked(tmp_path / "parent.jsonl") == [f"parent{i}" for i in range(50)]
    assert asked(tmp_path / "child.jsonl") == [f"child{i}" for i in range(50)]


def test_replay_works_with_the_server_down(server: Any, tmp_path: Path) -> None:
    with record_http(tmp_path / "a") as session:
        live = [ask(server.url, i) for i in range(3)]
    server.shutdown()
    server.server_close()

    with record_http(tmp_path / "a", require_all=True) as replay:
        replayed = [ask(server.url, i) for i in range(3)]

    assert replayed == live
    assert (session.is_replay, replay.is_replay, replay.count, replay.unused) == (False, True, 3, ())


def test_a_miss_names_the_nearest_request_and_the_path(server: Any, tmp_path: Path) -> None:
    def run(last: str) -> None:
        with httpx.Client() as client:
            client.post(server.url + "/echo", json={"messages": [{"content": "hello"}]})
            client.post(server.url + "/echo", json={"messages": [{"content": "x" * 500}, {"content": last}]})

    with record_http(tmp_path / "a"):
        run("the old prompt")

    with pytest.raises(WireMiss) as caught, record_http(tmp_path / "a"):
        run("the new prompt")

    text = str(caught.value)
    assert (
        "nearest: exchange 1, differs in $.messages[1].content: 'the old prompt' -> 'the new prompt'" in text
    )
    assert f"POST {server.url}/echo (call 2)" in text
    assert isinstance(caught.value, AssertionError)
    assert caught.value.exit_code == 1


def swallow(url: str, value: Any, *, most: int = 1, kind: type[BaseException] = Exception) -> list[str]:
    """Ask as an agent does that takes every failure for a flaky network."""
    seen = []
    for _ in range(most):
        try:
            ask(url, value)
        except kind as error:
            seen.append(type(error).__name__)
    return seen


def test_a_miss_cannot_be_swallowed(server: Any, tmp_path: Path) -> None:
    with record_http(tmp_path / "a"):
        ask(server.url, 1)

    session = record_http(tmp_path / "a").__enter__()
    seen = swallow(server.url, 2, kind=BaseException)
    with pytest.raises(WireMiss):
        session.__exit__(None, None, None)

    assert seen == [Unanswered.__name__]
    assert len(server.seen) == 1


def test_an_agent_that_retries_on_every_exception_does_not_retry_a_miss(server: Any, tmp_path: Path) -> None:
    with record_http(tmp_path / "a"):
        ask(server.url, 1)

    with pytest.raises(WireMiss) as caught, record_http(tmp_path / "a"):
        swallow(server.url, 2, most=3)

    assert len(caught.value.misses) == 1


def test_unused_exchanges_fail_only_when_all_are_required(server: Any, tmp_path: Path) -> None:
    with record_http(tmp_path / "a"):
        ask(server.url, 1)
        ask(server.url, 2)

    with record_http(tmp_path / "a") as session:
        ask(server.url, 2)
    strict = record_http(tmp_path / "a", require_all=True)
    with pytest.raises(WireMiss, match="1 recorded exchanges were not used: 0"), strict:
        ask(server.url, 2)

    assert session.unused == (0,)


def test_a_missing_recording_is_an_error_on_replay(tmp_path: Path) -> None:
    with pytest.raises(CassetteError, match="no such recording"), record_http(tmp_path / "a", mode="replay"):
        pass

    assert list(tmp_path.iterdir()) == []


def test_an_earlier_recording_stays_until_the_new_one_is_whole(server: Any, tmp_path: Path) -> None:
    with record_http(tmp_path / "a"):
        ask(server.url, "old")

    with record_http(tmp_path / "a", mode="record"):
        ask(server.url, "new")
        during = asked(tmp_path / "a.jsonl")

    assert during == ["old"]
    assert asked(tmp_path / "a.jsonl") == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_recording_in_the_making_is_refused(server: Any, tmp_path: Path) -> None:
    with record_http(tmp_path / "a", mode="record"):
        ask(server.url, 1)
        modes: tuple[Mode, ...] = ("record", "auto", "replay")
        for mode in modes:
            second = record_http(tmp_path / "a", mode=mode)
            with pytest.raises(UsageError, match="being made"):
                second.__enter__()


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mode is 'once'"):
        record_http(tmp_path / "a", mode="once")  # type: ignore[arg-type]  # what is tested


def test_a_cut_off_recording_replays_what_it_holds_and_says_so(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with record_http(path):
        ask(server.url, 1)
        ask(server.url, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]) + lines[4][:20])

    def replay() -> None:
        with record_http(path):
            ask(server.url, 1)
            ask(server.url, 2)

    with pytest.raises(WireMiss, match="cut off while this exchange was in flight") as caught:
        replay()

    assert [miss.call for miss in caught.value.misses] == [2]


def test_decorated_functions_have_a_session_for_each_call(server: Any, tmp_path: Path) -> None:
    @record_http(tmp_path / "sync")
    def run() -> Any:
        """Say hello."""
        return ask(server.url, 1)

    @record_http(tmp_path / "async")
    async def run_async() -> Any:
        async with httpx.AsyncClient() as client:
            return (await client.post(server.url + "/echo", json={"q": 2})).json()

    results = [run(), run(), asyncio.run(run_async()), asyncio.run(run_async())]

    assert results == [{"echo": {"q": 1}}] * 2 + [{"echo": {"q": 2}}] * 2
    assert server.seen == ["/echo", "/echo"]
    assert run.__doc__ == "Say hello."


def test_async_with_records(server: Any, tmp_path: Path) -> None:
    async def main() -> None:
        async with record_http(tmp_path / "a"), httpx.AsyncClient() as client:
            await client.post(server.url + "/echo", json={"q": 1})

    asyncio.run(main())

    assert asked(tmp_path / "a.jsonl") == [1]


def test_an_application_called_in_process_is_not_recorded_and_the_recording_says_so(tmp_path: Path) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, json={"own": True}))
    session = record_http(tmp_path / "a")

    def call() -> Any:
        with session, httpx.Client(transport=transport) as client:
            return client.get("http://app.test/").json()

    with pytest.warns(RuntimeWarning, match="nothing was recorded, no request reached the network"):
        answer = call()

    assert answer == {"own": True}
    assert session.count == 0


def test_leaving_a_session_that_was_not_entered_takes_nothing_from_others(
    server: Any, tmp_path: Path
) -> None:
    stray = record_http(tmp_path / "missing", mode="replay")
    with pytest.raises(CassetteError):
        stray.__enter__()
    stray.__exit__(None, None, None)

    with record_http(tmp_path / "a", mode="record") as session, httpx.Client(trust_env=False) as client:
        client.post(f"{server.url}/echo", json={"q": 1})
    session.__exit__(None, None, None)

    with record_http(tmp_path / "b", mode="record") as later, httpx.Client(trust_env=False) as client:
        client.post(f"{server.url}/echo", json={"q": 1})
    assert (session.count, later.count) == (1, 1)
