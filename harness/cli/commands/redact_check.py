"""`goldrun redact-check`: search written files for secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from harness.cassette.redact_check import check_secrets
from harness.cli.options import Json
from harness.cli.output import emit_json, say
from harness.redaction.redactor import Redactor, process_redactor
from harness.text import safe_text
from runtime.errors import ExitCode

_SHOWN = 50


def redact_check(
    path: Annotated[Path, typer.Argument(help="A file, or a folder with all files below it.")],
    personal_data: Annotated[
        bool,
        typer.Option(
            "--personal-data", help="Also look for e-mail addresses, phone numbers and bank accounts."
        ),
    ] = False,
    json: Json = False,
) -> int:
    """Search written files for secrets; findings name rule, file and record, never the secret."""

    def make() -> Redactor:
        return process_redactor(os.environ, personal_data=personal_data)

    report = check_secrets(path, make=make)
    if json:
        emit_json(
            {
                "schema": "goldrun.redact-check/1",
                "files": report.files,
                "findings": [
                    {"file": one.file, "record": one.record, "rule": one.rule, "count": one.count}
                    for one in report.findings
                ],
            }
        )
    else:
        for one in report.findings[:_SHOWN]:
            say(safe_text(f"{one.file}: {one.record}: {one.rule} ({one.count})", None))
        if len(report.findings) > _SHOWN:
            say(f"and {len(report.findings) - _SHOWN} more")
        say(f"{len(report.findings)} findings in {report.files} files")
    return ExitCode.CHECK_FAILED if report.findings else ExitCode.OK
