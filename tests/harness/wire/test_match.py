"""The mapping `match`: what may differ between a recorded request and the one that is sent."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness import record_http
from harness.wire.exchange import HttpRequest
from harness.wire.http_recording import read_http
from harness.wire.match_form import MatchForm, identity_tag, parse_json_path
from harness.wire.match_rules import match_rules
from harness.wire.misses import WireMiss
from runtime.errors import UsageError

DAY = date(2026, 11, 28)


def sent(value: Any, server: Any, path: Path, *, mode: Any, headers: Any = None, **settings: Any) -> Any:
    """Send one JSON body through a session and return what the server echoed."""
    with record_http(path, mode=mode, **settings), httpx.Client(trust_env=False) as client:
        return client.post(f"{server.url}/echo", json=value, headers=headers).json()["echo"]


def form(text: str, **settings: Any) -> Any:
    """Return the key of a body on the day of the tests."""
    made = MatchForm(normalise=("date", "uuid", "boundary"), day=DAY, **settings)
    return made.key(HttpRequest(method="POST", url="https://x.example/", body=text))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ('{"at": "2026-11-28"}', '{"at": "2026-11-27"}'),
        ('{"at": "2026-11-28T09:00:00Z"}', '{"at": "2026-11-28 10:11:12.123+02:00"}'),
        ('{"at": "Today is Saturday, November 28, 2026."}', '{"at": "Today is Friday, Nov 27, 2026."}'),
        ('{"at": "Sat, 28 Nov 2026 09:00:00 GMT"}', '{"at": "Sat, 28 Nov 2026 11:22:33 GMT"}'),
        ('{"at": 1795863600}', '{"at": 1795863600123}'),
        (f'{{"id": "{uuid.UUID(int=1)}"}}', f'{{"id": "{uuid.UUID(int=2)}"}}'),
        ("plain 2026-11-28", "plain 2026-11-27"),
    ],
)
def test_what_is_of_the_moment_is_no_difference(a: str, b: str) -> None:
    assert form(a) == form(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ('{"at": "2026-11-20"}', '{"at": "2026-11-21"}'),
        ('{"at": "2026-11-28"}', '{"at": "2025-11-28"}'),
        ('{"at": "May 3, 2024"}', '{"at": "May 4, 2024"}'),
        ('{"at": "2026-13-45"}', '{"at": "2026-13-46"}'),
        ('{"n": 1795}', '{"n": 1796}'),
        ('{"n": 1}', '{"n": true}'),
        ('{"id": "8f7e-1"}', '{"id": "8f7e-2"}'),
    ],
)
def test_other_dates_and_numbers_are_differences(a: str, b: str) -> None:
    assert form(a) != form(b)


def test_a_request_of_another_day_is_answered(server: Any, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    told = {"system": f"Today is {now.date().isoformat()}", "trace": str(uuid.uuid4())}
    assert sent(told, server, tmp_path / "a", mode="record") == told

    again = {"system": f"Today is {(now - timedelta(days=1)).date().isoformat()}", "trace": str(uuid.uuid4())}

    assert sent(again, server, tmp_path / "a", mode="replay") == told
    with pytest.raises(WireMiss):
        sent({**again, "system": "Today is 2020-01-01"}, server, tmp_path / "a", mode="replay")


def test_ignored_paths_and_parameters_are_no_difference(server: Any, tmp_path: Path) -> None:
    match = {"ignore": {"json": ["$.meta.trace", "messages[*].id"], "query": ["nonce"]}}
    body = {"meta": {"trace": "a", "user": "u"}, "messages": [{"id": 1, "text": "hi"}]}
    sent(body, server, tmp_path / "a", mode="record", match=match)

    other = {"meta": {"trace": "b", "user": "u"}, "messages": [{"id": 2, "text": "hi"}]}
    sent(other, server, tmp_path / "a", mode="replay")
    with pytest.raises(WireMiss):
        sent({**other, "meta": {"user": "w"}}, server, tmp_path / "a", mode="replay")
    assert MatchForm(query=["nonce"]).url("https://x.example/a?nonce=1&b=2") == "https://x.example/a?b=2"


def test_a_binary_upload_replays_whatever_its_boundary(server: Any, tmp_path: Path) -> None:
    image = {"file": ("a.bin", bytes(range(256)), "application/octet-stream")}
    modes: tuple[Any, ...] = ("record", "replay")
    for mode in modes:
        with record_http(tmp_path / "a", mode=mode), httpx.Client(trust_env=False) as client:
            assert client.post(f"{server.url}/raw", files=image).status_code < 500


def test_two_users_with_one_request_are_refused_unless_a_header_tells_them_apart(
    server: Any, tmp_path: Path
) -> None:
    keys = ["Bearer sk-proj-aaaaaaaaaaaaaaaaaaaaaaaa", "Bearer sk-proj-bbbbbbbbbbbbbbbbbbbbbbbb"]

    def answers(path: Path, mode: Any, order: list[str], **settings: Any) -> list[Any]:
        with record_http(path, mode=mode, **settings), httpx.Client(trust_env=False) as client:
            found = [
                client.post(f"{server.url}/who", json={"q": 1}, headers={"authorization": key})
                for key in order
            ]
            return [each.text for each in found]

    told = answers(tmp_path / "a", "record", keys)
    with pytest.raises(WireMiss, match="identity"):
        answers(tmp_path / "a", "replay", keys[::-1])

    match = {"identity": ["authorization"]}
    assert answers(tmp_path / "b", "record", keys, match=match) == told
    assert answers(tmp_path / "b", "replay", keys[::-1]) == told[::-1]
    assert "sk-proj" not in (tmp_path / "b.jsonl").read_text()


def test_a_repeated_request_gets_the_last_answer_where_that_is_allowed(server: Any, tmp_path: Path) -> None:
    sent({"q": 1}, server, tmp_path / "a", mode="record")
    session = record_http(tmp_path / "a", mode="replay", match={"repeat": "last"})
    with session, httpx.Client(trust_env=False) as client:
        for _ in range(3):
            assert client.post(f"{server.url}/echo", json={"q": 1}).status_code == 200


def test_new_requests_are_made_and_recorded_where_that_is_allowed(server: Any, tmp_path: Path) -> None:
    sent({"q": 1}, server, tmp_path / "a", mode="record", request_id="req_a")
    for _ in range(2):
        session = record_http(tmp_path / "a", mode="replay", match={"new": "append"})
        with session, httpx.Client(trust_env=False) as client:
            for number in (1, 2):
                told = client.post(f"{server.url}/echo", json={"q": number}).json()
                assert told == {"echo": {"q": number}}

    file = read_http(tmp_path / "a.jsonl")
    assert [each.number for each in file.exchanges] == [0, 1]
    assert (file.head.request_id, file.ended) == ("req_a", True)
    assert sent({"q": 2}, server, tmp_path / "a", mode="replay") == {"q": 2}


def test_hosts_are_passed_ignored_or_blocked(server: Any, tmp_path: Path) -> None:
    host = httpx.URL(server.url).host

    def ask(mode: Any, rule: str) -> int:
        session = record_http(tmp_path / "a", mode=mode, match={"hosts": {rule: [host]}})
        with session, httpx.Client(trust_env=False) as client:
            client.post(f"{server.url}/echo", json={"q": 1})
        return session.count

    with pytest.warns(RuntimeWarning, match="nothing was recorded"):
        assert ask("record", "pass") == 0
    assert ask("replay", "pass") == 0
    assert ask("replay", "ignore") == 0
    with pytest.raises(WireMiss, match="blocks it"):
        ask("replay", "block")
    with pytest.raises(WireMiss, match="blocks it"):
        ask("record", "block")


@pytest.mark.parametrize(
    ("mapping", "names"),
    [
        ({"ignores": {}}, "ignores"),
        ({"ignore": {"jsn": []}}, "jsn"),
        ({"hosts": {"passed": []}}, "passed"),
        ({"new": "sometimes"}, "sometimes"),
        ({"normalise": ["time"]}, "time"),
        ({"ignore": {"json": ["$..x"]}}, r"\$\.\.x"),
        ({"ignore": {"json": ["$"]}}, "no path|whole"),
        ({"repeat": True}, "repeat"),
    ],
)
def test_unknown_keys_and_wrong_values_are_refused(
    mapping: dict[str, Any], names: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=names):
        record_http(tmp_path / "a", match=mapping)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("$.a.b", ("a", "b")),
        ("a[0].b", ("a", 0, "b")),
        ("$.a[*]", ("a", "*")),
        ('$["a.b"].c', ("a.b", "c")),
        ("$[0].x", (0, "x")),
    ],
)
def test_paths_have_the_usual_spellings(text: str, steps: tuple[str | int, ...]) -> None:
    assert parse_json_path(text) == steps


def test_a_tag_tells_users_apart_and_is_too_short_to_find_a_key_by() -> None:
    assert identity_tag("salt", "a") != identity_tag("salt", "b")
    assert identity_tag("salt", "a") != identity_tag("other", "a")
    assert len(identity_tag("salt", "a" * 500)) == 4


def test_rules_without_anything_are_the_defaults() -> None:
    rules = match_rules({}, where="x")
    assert rules is not None
    assert rules.host_rule("https://api.example.com/v1") == "record"
