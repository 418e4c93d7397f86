"""The SDKs of the field, recorded and replayed against a loopback provider; absent ones are skipped."""

from __future__ import annotations

import asyncio
import http.server
import importlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.wire.http_recording import read_http
from harness.wire.session import record_http

TEXT = "The parcel was refunded."
KEY = "sk-proj-Zk3vQ9xT7mB2nL5wR8yH4cD6"
PROMPT = "Where is parcel 8812?"

CHAT = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
}
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": TEXT}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 5},
}
GEMINI = {"candidates": [{"content": {"role": "model", "parts": [{"text": TEXT}]}, "finishReason": "STOP"}]}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 9, "outputTokens": 5, "totalTokens": 14},
    "metrics": {"latencyMs": 1},
}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body.get("stream"):
            self._stream()
            return
        path = self.path.partition("?")[0]
        answers = {"messages": MESSAGE, "converse": CONVERSE}
        answer = GEMINI if ":generateContent" in path else answers.get(path.rpartition("/")[2], CHAT)
        data = json.dumps(answer).encode()
        self.send_response_only(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self) -> None:
        self.send_response_only(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in [*TEXT.split(), None]:
            choice = {"index": 0, "delta": {"content": word and word + " "}, "finish_reason": None}
            event = {
                "id": "c",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m",
                "choices": [choice],
            }
            text = b"data: " + (json.dumps(event).encode() if word else b"[DONE]") + b"\n\n"
            self.wfile.write(b"%x\r\n%b\r\n" % (len(text), text))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        """Write no log."""


@pytest.fixture
def provider() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def sdk(name: str) -> Any:
    return pytest.importorskip(name, reason=f"{name} is not installed")


MESSAGES: Any = [{"role": "user", "content": PROMPT}]


def call_openai(url: str) -> str:
    with sdk("openai").OpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client:
        return str(client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content)


def call_openai_stream(url: str) -> str:
    with sdk("openai").OpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client:
        chunks = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks).strip()


def call_openai_async(url: str) -> str:
    async def main() -> str:
        async with sdk("openai").AsyncOpenAI(base_url=url + "/v1", api_key=KEY, max_retries=0) as client:
            reply = await client.chat.completions.create(model="m", messages=MESSAGES)
            return str(reply.choices[0].message.content)

    return asyncio.run(main())


def call_anthropic(url: str) -> str:
    with sdk("anthropic").Anthropic(base_url=url, api_key=KEY, max_retries=0) as client:
        return str(client.messages.create(model="m", max_tokens=50, messages=MESSAGES).content[0].text)


def call_genai(url: str) -> str:
    genai = sdk("google.genai")
    client = genai.Client(api_key=KEY, http_options={"base_url": url})
    told = str(client.models.generate_content(model="m", contents=PROMPT).text)
    client.close()
    return told


def call_mistral(url: str) -> str:
    module = sdk("mistralai")
    kind = getattr(module, "Mistral", None) or importlib.import_module("mistralai.client").Mistral
    with kind(api_key=KEY, server_url=url) as client:
        return str(client.chat.complete(model="m", messages=MESSAGES).choices[0].message.content)


def call_groq(url: str) -> str:
    with sdk("groq").Groq(base_url=url, api_key=KEY, max_retries=0) as client:
        return str(client.chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content)


def call_bedrock(url: str) -> str:
    session = sdk("botocore.session").get_session()
    client = session.create_client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=url,
        aws_access_key_id="AKIAABCDEFGHIJKLMNOP",
        aws_secret_access_key=KEY,
    )
    reply = client.converse(modelId="m", messages=[{"role": "user", "content": [{"text": PROMPT}]}])
    client.close()
    return str(reply["output"]["message"]["content"][0]["text"])


CALLS: dict[str, Callable[[str], str]] = {
    "openai": call_openai,
    "openai stream": call_openai_stream,
    "openai async": call_openai_async,
    "anthropic": call_anthropic,
    "google-genai": call_genai,
    "mistralai": call_mistral,
    "groq": call_groq,
    "botocore bedrock": call_bedrock,
}


@pytest.mark.parametrize("name", CALLS)
def test_an_sdk_is_recorded_without_its_key_and_replayed_with_the_provider_down(
    provider: Any, tmp_path: Path, name: str
) -> None:
    url = f"http://127.0.0.1:{provider.server_address[1]}"
    with record_http(tmp_path / "a"):
        live = CALLS[name](url)
    provider.shutdown()
    provider.server_close()
    with record_http(tmp_path / "a", mode="replay", require_all=True):
        replayed = CALLS[name](url)

    data = (tmp_path / "a.jsonl").read_bytes()
    assert replayed == live == TEXT
    assert len(read_http(tmp_path / "a.jsonl").exchanges) == 1
    assert KEY.encode() not in data
    assert b"AKIAABCDEFGHIJKLMNOP" not in data
