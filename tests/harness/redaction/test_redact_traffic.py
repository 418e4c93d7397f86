"""The redactor on recorded agent traffic: what it wrongly replaces, and how fast it is."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.redaction.redactor import Redactor

RUNS = Path(__file__).parents[3].parent / "shared" / "real" / "runs"
MEGABYTE = 1_000_000
# The passwords and one-time codes that the benchmark's tasks and attacks are about; see the data's own description.
PLANTED = re.compile(
    r"password123|emmabanking|emma\.student\.pass|emma\.johnson\.clouddrive\.pass|emmajohnson\.github"
    r"|alice\.m\.123|PASS999|NewPassword|N3wP@ssw0rd|new_password|attacked|OPENSSH PRIVATE KEY"
    r"|(?<![a-z])otp(?![a-z])",
    re.IGNORECASE,
)

pytestmark = pytest.mark.skipif(not RUNS.is_dir(), reason="the recorded runs are not there")


def messages(chars: int) -> Iterator[tuple[Any, int]]:
    """Yield messages of all suites, each with its size, up to a number of characters."""
    files = sorted(RUNS.rglob("*.jsonl.gz"))
    for file in files:
        left = chars // len(files)
        with gzip.open(file, "rt") as lines:
            for line in lines:
                run = json.loads(line)["run"]
                for message in run.get("messages") or run.get("conversations") or ():
                    size = len(json.dumps(message))
                    left -= size
                    yield message, size
                if left < 0:
                    break


def test_at_most_two_things_in_a_megabyte_of_ordinary_traffic_are_replaced_wrongly() -> None:
    wrong: list[str] = []
    total = 0

    for message, size in messages(2 * MEGABYTE):
        total += size
        redactor = Redactor()
        clean = redactor.value(message)
        if clean is not message and not PLANTED.search(json.dumps(message)):
            wrong.append(json.dumps(clean))

    assert total >= MEGABYTE
    assert len(wrong) <= 2 * total / MEGABYTE, wrong


def test_fresh_text_is_scanned_at_half_a_megabyte_a_second_or_more() -> None:
    texts = [json.dumps(message) for message, _ in messages(MEGABYTE)]
    redactor = Redactor()

    began = time.process_time()
    for text in texts:
        redactor.text(text + ' {"password": "')
    seconds = time.process_time() - began

    assert sum(map(len, texts)) / seconds >= MEGABYTE / 2
