"""Compares lifted exchanges with the independent measurement of `../shared/real`, and prints the agreement per dialect.

python -m tests.harness.lift.agreement [--differences]
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from harness.lift.lift import lift_paths

REAL = Path(__file__).parents[3].parent / "shared" / "real"
HTTP = REAL / "http"
MEASURED = (
    *("provider", "endpoint", "status", "request_model", "tool_calls", "tool_names", "finish"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "text_sha256_12"),
)
"""Columns that are compared."""
ACCEPTED = (
    "provider",
    "tool_calls",
    "tool_names",
    "finish",
    "input_tokens",
    "output_tokens",
    "text_sha256_12",
)
"""Columns that make an exchange agree: provider, calls, finish, tokens and text."""


class Difference(NamedTuple):
    """One field of one exchange that was measured and read differently."""

    file: str
    idx: str
    dialect: str
    field: str
    measured: str
    read: str


@cache
def lifted() -> dict[str, Any]:
    """Return the document of all recordings."""
    return lift_paths([HTTP])


@cache
def rows() -> tuple[dict[str, str], ...]:
    """Return the measurement, a row for each exchange."""
    with (REAL / "http-ground-truth.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@cache
def exchanges() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the lifted exchanges by file and position."""
    return {
        (Path(file["path"]).relative_to(HTTP).as_posix(), str(exchange["idx"])): exchange
        for file in lifted()["files"]
        for exchange in file["exchanges"]
    }


def dialect(row: dict[str, str]) -> str:
    """Return what a row is counted under."""
    return f"{row['provider']} {row['endpoint']}"


def read(exchange: dict[str, Any]) -> dict[str, str]:
    """Return an exchange in the columns of the measurement."""
    usage, calls, text = exchange["usage"], exchange["tool_calls"] or [], exchange["text"] or ""
    found = {
        "provider": exchange["provider"],
        "endpoint": exchange["endpoint"],
        "status": exchange["status"],
        "request_model": exchange["request_model"],
        "tool_calls": len(calls),
        "tool_names": "|".join(call["name"] for call in calls),
        "finish": exchange["finish_reason"],
        "input_tokens": usage["input_tokens"],
        "output_tokens": usage["output_tokens"],
        "cached_tokens": usage["cache_read_tokens"],
        "reasoning_tokens": usage["reasoning_tokens"],
        "text_sha256_12": hashlib.sha256(text.encode()).hexdigest()[:12] if text else None,
    }
    return {name: "" if value is None else str(value) for name, value in found.items()}


def differences() -> Iterator[Difference]:
    """Yield all fields that differ, of exchanges whose body is not binary."""
    for row in rows():
        if row["body_kind"] == "binary":
            continue
        found = read(exchanges()[row["file"], row["idx"]])
        for name in MEASURED:
            if found[name] != row[name]:
                yield Difference(row["file"], row["idx"], dialect(row), name, row[name], found[name])


def agreement() -> dict[str, tuple[int, int]]:
    """Return by dialect how many exchanges agree, of how many."""
    differing = {(d.file, d.idx) for d in differences() if d.field in ACCEPTED}
    counted = [row for row in rows() if row["body_kind"] != "binary"]
    total = Counter(dialect(row) for row in counted)
    agreed = Counter(dialect(row) for row in counted if (row["file"], row["idx"]) not in differing)
    return {name: (agreed[name], total[name]) for name in sorted(total)}


def main(arguments: list[str]) -> None:
    """Print the agreement, and with `--differences` each difference."""
    agreed, total = 0, 0
    for name, (equal, count) in agreement().items():
        sys.stdout.write(f"{equal:5} of {count:5}  {name}\n")
        agreed, total = agreed + equal, total + count
    sys.stdout.write(f"{agreed:5} of {total:5}  all: {agreed / total:.2%}\n")
    if "--differences" in arguments:
        for each in differences():
            sys.stdout.write("\t".join(each) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
