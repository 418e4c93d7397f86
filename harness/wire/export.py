"""Export of an HTTP recording as vcrpy's YAML, for tools that read that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from harness.cassette.file_io import replace_file
from harness.wire.exchange import Headers, HttpAnswer, HttpRequest, unpack
from harness.wire.http_recording import read_http
from runtime.core.signatures import checks_arguments


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What an export wrote.

    Attributes:
        written: Exchanges in the file.
        skipped: Exchanges that vcrpy has no form for: no answer began, or it was not kept.
    """

    written: int
    skipped: int


@checks_arguments
def export_vcr(recording: Path, out: Path, *, overwrite: bool = False) -> Exported:
    """Write a recording as vcrpy's YAML; chunk boundaries, times and breaks have no place there.

    Raises:
        CassetteError: If the recording cannot be read or the file not be written.
        UsageError: If the file is there and `overwrite` is not set.
    """
    import yaml

    interactions = []
    exchanges = read_http(recording).exchanges
    for exchange in exchanges:
        answer = exchange.answer
        if answer is not None and answer.status is not None and answer.dropped is None:
            interactions.append({"request": _request(exchange.request), "response": _response(answer)})
    dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    with replace_file(out, overwrite=overwrite) as file:
        document = {"interactions": interactions, "version": 1}
        file.write(yaml.dump(document, Dumper=dumper, allow_unicode=True).encode())
    return Exported(written=len(interactions), skipped=len(exchanges) - len(interactions))


def _request(request: HttpRequest) -> dict[str, Any]:
    return {
        "body": _text(unpack(request.body)) if request.body is not None else None,
        "headers": _headers(request.headers),
        "method": request.method,
        "uri": request.url,
    }


def _response(answer: HttpAnswer) -> dict[str, Any]:
    return {
        "body": {"string": _text(answer.content)},
        "headers": _headers(answer.headers),
        "status": {"code": answer.status, "message": answer.reason},
    }


def _headers(headers: Headers) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return values


def _text(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
