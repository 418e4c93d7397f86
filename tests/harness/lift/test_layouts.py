"""The same exchange is read from every layout, with whatever forms of bodies and headers recorders write."""

from __future__ import annotations

import base64
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ImportFailed
from harness.lift.files import expand
from harness.lift.layouts import NOT_A_RECORDING
from harness.lift.lift import file_json, iter_lifted, lift_file
from runtime.core.messages import ModelReply, TextPart
from runtime.core.money import Usage
from runtime.dialects.openai_chat import encode_reply, encode_stream
from tests.support.counts import examples

URL = "https://api.openai.com/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Grüße?"}]}
REPLY = ModelReply(
    parts=(TextPart("Grüße \U0001f600"),),
    finish_reason="stop",
    usage=Usage(input_tokens=10, output_tokens=5),
)
BODY = json.dumps(encode_reply(REPLY, model="gpt-4o-mini"), ensure_ascii=False).encode()
STREAM = "".join(f"data: {each}\n\n" for each in encode_stream(REPLY, model="gpt-4o-mini")).encode()
SENT = json.dumps(ASKED)
Wire = dict[str, Any]


def _vcr(request: Wire, response: Wire) -> Wire:
    return {"version": 1, "interactions": [{"request": request, "response": response}]}


def _asked(**more: Any) -> Wire:
    return {"method": "POST", "uri": URL, "body": SENT, "headers": {"Accept": ["*/*"]}, **more}


def _answered(**more: Any) -> Wire:
    return {"status": {"code": 200, "message": "OK"}, "headers": {}, **more}


def _go(version: int) -> Wire:
    request = {"body": SENT, "form": {}, "headers": {"Accept": ["*/*"]}, "url": URL, "method": "POST"}
    response = {
        "body": BODY.decode(),
        "headers": {"X": ["y"]},
        "status": "200 OK",
        "code": 200,
        "duration": "1s",
    }
    more: Wire = {"id": 0} if version == 2 else {}
    return {"version": version, "interactions": [{**more, "request": request, "response": response}]}


def _ruby(body: Wire) -> Wire:
    request = {"method": "post", "uri": URL, "body": {"encoding": "UTF-8", "string": SENT}, "headers": {}}
    response = {"status": {"code": 200, "message": "OK"}, "headers": {}, "body": body, "http_version": None}
    interaction = {"request": request, "response": response, "recorded_at": "Tue, 01 Nov 2011 04:58:44 GMT"}
    return {"http_interactions": [interaction], "recorded_with": "VCR 6.0.0"}


def _har(content: Wire, **response: Any) -> Wire:
    headers = [{"name": "Content-Type", "value": "application/json"}]
    posted = {"mimeType": "application/json", "text": SENT}
    request = {"method": "POST", "url": URL, "headers": headers, "postData": posted}
    answer = {"status": 200, "headers": headers, "content": content, **response}
    return {"log": {"version": "1.2", "entries": [{"request": request, "response": answer}]}}


BASE64 = base64.b64encode(BODY).decode()
ZIPPED = gzip.compress(BODY)
ENCODED = {"Content-Encoding": ["gzip"]}
JSON_BODY = json.loads(BODY)
CASES: dict[str, tuple[str, str, Any]] = {
    # name: layout, file, document
    "vcrpy": ("vcrpy", "a.yaml", _vcr(_asked(), _answered(body={"string": BODY.decode()}))),
    "vcrpy, bytes": ("vcrpy", "a.yaml", _vcr(_asked(body=SENT.encode()), _answered(body={"string": BODY}))),
    "vcrpy, gzip": ("vcrpy", "a.yaml", _vcr(_asked(), _answered(body={"string": ZIPPED}, headers=ENCODED))),
    "vcrpy, JSON": ("vcrpy", "a.json", _vcr(_asked(), _answered(body={"string": BODY.decode()}))),
    "vcrpy, base64": ("vcrpy", "a.json", _vcr(_asked(), _answered(body={"base64_string": BASE64}))),
    "vcrpy, bare header": ("vcrpy", "a.yaml", _vcr(_asked(headers={"A": "b"}), _answered(body={"string": BODY}))),
    "parsed_body": (
        "vcrpy+parsed_body",
        "a.yaml",
        _vcr({"method": "POST", "uri": URL, "parsed_body": ASKED}, _answered(parsed_body=JSON_BODY)),
    ),
    "vcrpy, requests beside responses": (
        "vcrpy+requests",
        "a.yaml",
        {"requests": [_asked(body=SENT.encode())], "responses": [_answered(body={"string": BODY})]},
    ),
    "go-vcr 1": ("go-vcr/1", "a.yaml", _go(1)),
    "go-vcr 2": ("go-vcr/2", "a.yaml", _go(2)),
    "ruby-vcr": ("ruby-vcr", "a.yml", _ruby({"encoding": "UTF-8", "string": BODY.decode()})),
    "ruby-vcr, base64": ("ruby-vcr", "a.json", _ruby({"encoding": "ASCII-8BIT", "base64_string": BASE64})),
    "har": ("har", "a.har", _har({"mimeType": "application/json", "text": BODY.decode()})),
    "har, base64": ("har", "a.har", _har({"mimeType": "application/json", "text": BASE64, "encoding": "base64"})),
    "har, Polly.JS": (
        "har",
        "a.har",
        _har(
            {"text": json.dumps([base64.b64encode(ZIPPED).decode()]), "encoding": "base64"},
            headers=[{"name": "content-encoding", "value": "gzip"}],
        ),
    ),
    "exchange": (
        "exchange",
        "a.json",
        {"request": {"method": "POST", "url": URL, "body": ASKED}, "response": {"status": 200, "body": JSON_BODY}},
    ),
    "exchange, text": (
        "exchange",
        "a.json",
        {
            "request": {"method": "post", "url": URL, "headers": [["a", "b"]], "content": SENT},
            "response": {"status_code": 200, "headers": {"content-type": "application/json"}, "text": BODY.decode()},
        },
    ),
    "exchange, stream in pieces": (
        "exchange",
        "a.json",
        {
            "request": {"url": URL, "json": ASKED},
            "response": {"status": 200, "body": [STREAM.decode()[:50], STREAM.decode()[50:]]},
        },
    ),
    "exchanges": (
        "exchange",
        "a.json",
        [{"request": {"url": URL, "json": ASKED}, "response": {"statusCode": 200, "json": JSON_BODY}}],
    ),
}  # fmt: skip


def _write(folder: Path, name: str, document: Any) -> Path:
    path = folder / name
    if name.endswith((".yaml", ".yml")):
        path.write_text(yaml.dump(document, allow_unicode=True), encoding="utf-8")
    else:
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path


def _check(path: Path, layout: str, *, dialect: str | None = None) -> None:
    lifted = lift_file(path, dialect=dialect)
    (exchange,) = lifted.exchanges

    assert lifted.layout == layout
    assert (exchange.error, exchange.status or 200) == (None, 200)
    assert exchange.reply is not None
    assert exchange.reply.text == "Grüße \U0001f600"
    assert exchange.reply.usage == REPLY.usage


@pytest.mark.parametrize("name", CASES)
def test_each_layout_tells_the_same_exchange(tmp_path: Path, name: str) -> None:
    layout, file, document = CASES[name]
    path = _write(tmp_path, file, document)

    _check(path, layout)

    lifted = lift_file(path)
    assert lifted.exchanges[0].request is not None
    assert lifted.exchanges[0].request.messages[0].parts == (TextPart("Grüße?"),)
    assert [trace.stop_reason for trace in lifted.traces] == ["finish"]


def test_ruby_s_own_binary_tag_is_read(tmp_path: Path) -> None:
    text = yaml.safe_dump(_ruby({"encoding": "ASCII-8BIT", "string": "HERE"}))
    path = tmp_path / "a.yml"
    path.write_text(text.replace("HERE", f"!binary |-\n          {BASE64}"), encoding="utf-8")

    _check(path, "ruby-vcr")


def test_ruby_s_tags_of_plain_texts_and_mappings_are_read(tmp_path: Path) -> None:
    text = yaml.safe_dump(_ruby({"encoding": "UTF-8", "string": BODY.decode()}))
    text = text.replace("method: post", "method: !ruby/symbol post")
    text = text.replace("headers: {}", "headers: !ruby/hash:Faraday::Utils::Headers {}", 1)
    path = tmp_path / "a.yml"
    path.write_text(text, encoding="utf-8")

    _check(path, "ruby-vcr")


def test_an_answer_whose_body_was_not_kept_says_so(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.har", _har({"mimeType": "application/json", "size": 900}))

    (exchange,) = lift_file(path).exchanges

    assert "the body of the answer was not recorded" in (exchange.error or "")


def test_a_gzip_file_is_unzipped_and_a_cut_one_refused(tmp_path: Path) -> None:
    plain = _write(tmp_path, "a.yaml", CASES["vcrpy"][2])
    zipped = tmp_path / "b.yaml.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))

    _check(zipped, "vcrpy")
    assert sorted(expand([tmp_path])) == [plain, zipped]

    zipped.write_bytes(zipped.read_bytes()[:-9])
    with pytest.raises(ImportFailed, match="gzip file is cut off"):
        lift_file(zipped)


def test_one_exchange_a_line_is_read(tmp_path: Path) -> None:
    line = json.dumps(CASES["exchange"][2])
    path = tmp_path / "a.jsonl"
    path.write_text(f"{line}\n\n{line}\n", encoding="utf-8")

    assert [e.error for e in lift_file(path).exchanges] == [None, None]


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["JSON", "stream"])
def test_a_body_by_itself_is_read_in_the_stated_dialect_only(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "reply.txt"
    path.write_bytes(body)

    with pytest.raises(ImportFailed):
        lift_file(path)
    _check(path, "bare", dialect="openai-chat")


def test_a_request_by_itself_is_read_in_the_stated_dialect(tmp_path: Path) -> None:
    path = _write(tmp_path, "request.json", ASKED)

    (exchange,) = lift_file(path, dialect="openai-chat").exchanges

    assert exchange.request is not None
    assert (exchange.request.model, exchange.reply) == ("gpt-4o-mini", None)


def test_two_bodies_without_an_address_need_a_stated_dialect(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.json", {"request": ASKED, "response": JSON_BODY})

    unstated = file_json(lift_file(path))

    assert unstated["unknown"] == ["unknown bare"]
    assert "--dialect" in unstated["exchanges"][0]["error"]
    _check(path, "exchange", dialect="openai-chat")


def test_a_stated_dialect_holds_for_unknown_endpoints_and_not_for_known_ones(tmp_path: Path) -> None:
    gateway = _asked(uri="https://gateway.test/llm/generate")
    path = _write(tmp_path, "a.yaml", _vcr(gateway, _answered(body={"string": BODY.decode()})))
    known = _write(tmp_path, "b.yaml", CASES["vcrpy"][2])

    _check(path, "vcrpy", dialect="openai-chat")
    _check(known, "vcrpy", dialect="gemini")


def test_a_har_entry_without_an_answer_says_so(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.har", _har({}, status=0, _error="net::ERR_TIMED_OUT"))

    (exchange,) = lift_file(path).exchanges

    assert "no answer was recorded: net::ERR_TIMED_OUT" in (exchange.error or "")


def test_files_of_a_folder_that_are_no_recordings_are_passed_over(tmp_path: Path) -> None:
    _write(tmp_path, "package.json", {"name": "x"})
    _write(tmp_path, "good.yaml", CASES["vcrpy"][2])
    (tmp_path / "broken.json").write_text('{"interactions": [', encoding="utf-8")
    (tmp_path / "notes.md").write_text("no", encoding="utf-8")

    found = {Path(f.path).name: f for f in iter_lifted([tmp_path])}

    assert sorted(found) == ["broken.json", "good.yaml", "package.json"]
    assert found["package.json"].skipped == NOT_A_RECORDING
    assert found["package.json"].error is None
    assert found["good.yaml"].error is None
    assert "damaged JSON" in (found["broken.json"].error or "")
    (named,) = iter_lifted([tmp_path / "package.json"])
    assert named.error == NOT_A_RECORDING


def test_globs_and_folders_overlap_without_reading_twice(tmp_path: Path) -> None:
    a = _write(tmp_path, "a.yaml", {})
    (tmp_path / "sub").mkdir()
    b = _write(tmp_path / "sub", "b.har", {})

    assert expand([tmp_path / "*.yaml", tmp_path]) == {a: False, b: False}
    assert expand([tmp_path / "s*", a]) == {b: False, a: True}
    assert expand([tmp_path / "*.none"]) == {tmp_path / "*.none": True}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")

    with pytest.raises(ImportFailed, match="not a regular file"):
        lift_file(tmp_path / "pipe.yaml")


def test_what_unicode_and_json_have_no_form_for_is_mended_where_it_comes_in(tmp_path: Path) -> None:
    reply = (
        '{"candidates": [{"content": {"parts": [{"text": "a\\ud83d"}, {"functionCall": {"name": "f", '
        '"args": {"x\\ud83d": ["\\ude00", 1e999, 123456789012345678901234567890]}}}]}, "finishReason": "STOP"}]}'
    )
    url = "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"
    asked = '{"contents": [{"parts": [{"text": "\\udc00"}]}], "labels": {"a": "\\udc00"}}'
    request = {"method": "POST", "uri": url, "body": asked}
    path = _write(tmp_path, "a.yaml", _vcr(request, _answered(body={"string": reply})))

    document = file_json(lift_file(path))

    (exchange,) = document["exchanges"]
    assert exchange["error"] is None
    assert exchange["text"] == "a\ufffd"
    assert exchange["tool_calls"][0]["arguments"] == {
        "x\ufffd": ["\ufffd", None, 123456789012345678901234567890]
    }
    json.dumps(document, ensure_ascii=False, allow_nan=False).encode()


@settings(max_examples=examples(50, 1000))
@given(data=st.data())
def test_damaged_files_of_every_layout_are_read_in_part_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    _, file, document = CASES[data.draw(st.sampled_from(sorted(CASES)))]
    path = _write(folder, file, document)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=4))
    path.write_bytes(bytes(content))

    (lifted,) = iter_lifted([path], dialect=data.draw(st.sampled_from([None, "openai-chat", "gemini"])))

    told = file_json(lifted)
    written = json.dumps(told, ensure_ascii=False, allow_nan=False).encode()
    assert json.loads(written).keys() == told.keys()
    assert told["error"] is None or told["error"].strip()
