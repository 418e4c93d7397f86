"""The on-call agent's model, scripted: each answer follows from the request alone.

It asks for several things at once where it can, writes numbers as words at first, and has two bad habits that
only a guard ends: it waits for a number to change by asking again, and it reads logs to the last page.
"""

from __future__ import annotations

import json
import re
from typing import Any

from runtime import Failure, ModelReply, ModelRequest, calls, says
from runtime.testing import Conversation, PastCall, read_request

_SERVICE = re.compile(r"\b(checkout|mailer|catalog)\b")
_HOST = re.compile(r"\bedge-\d+\b")
_MINUTES = re.compile(r"last (\w+) minutes")
_NUMBERS = {"five": 5, "ten": 10, "thirty": 30}
_SLOW_MS = 1000.0


def policy(request: ModelRequest) -> ModelReply | Failure:
    """Return the next answer to a request."""
    talk = read_request(request)
    invalid = [call for call in talk.latest if call.is_invalid]
    if invalid:
        return calls(*((call.name, _corrected(call.arguments)) for call in invalid))
    hosts = _HOST.findall(talk.prompt)
    if hosts:
        return _probe(talk, hosts)
    named = _SERVICE.search(talk.prompt)
    if named is None:
        return says("Which service is it about?")
    service, words = named[1], talk.prompt.lower()
    if "until" in words:
        return _wait_for_queue(talk, service)
    if "logs" in words:
        return _read_logs(talk, service)
    if "error rate" in words:
        return _error_rate(talk, service)
    return _latency(talk, service)


def _corrected(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: _NUMBERS.get(str(value), value) for name, value in arguments.items()}


def _probe(talk: Conversation, hosts: list[str]) -> ModelReply:
    done = talk.of("probe.run")
    if not done:
        return calls(*(("probe.run", {"host": host}) for host in hosts))
    alive = [call.arguments["host"] for call in done if not call.has_failed]
    return says(f"Hosts that answer: {', '.join(alive) or 'none'}.")


def _wait_for_queue(talk: Conversation, service: str) -> ModelReply:
    depths = [_last_value(call) for call in talk.of("metrics.query")]
    if depths and depths[-1] < 100:
        return says(f"The queue of {service} is down to {depths[-1]:g}.")
    return calls(("metrics.query", {"service": service, "metric": "queue_depth"}))


def _read_logs(talk: Conversation, service: str) -> ModelReply:
    pages = talk.of("logs.search")
    following = pages[-1].data["next_page"] if pages else 1
    if following is None:
        return says(f"I read {len(pages)} pages; all of them are about slow requests.")
    return calls(("logs.search", {"service": service, "q": "slow", "page": following}))


def _error_rate(talk: Conversation, service: str) -> ModelReply:
    good = [call for call in talk.of("metrics.query") if call.data is not None]
    if good:
        return says(f"The error rate of {service} is {_last_value(good[-1]):.1%}.")
    asked = _MINUTES.search(talk.prompt)
    arguments: dict[str, Any] = {"service": service, "metric": "error_rate"}
    return calls(("metrics.query", {**arguments, "minutes": asked[1]} if asked else arguments))


def _latency(talk: Conversation, service: str) -> ModelReply:
    queries = talk.of("metrics.query")
    if not queries:
        return calls(
            ("metrics.query", {"service": service, "metric": "p99_ms"}),
            ("metrics.query", {"service": service, "metric": "error_rate"}),
            ("deploy.list", {"service": service}),
            text="I look at latency, errors and deploys together.",
        )
    deploys = talk.of("deploy.list")[-1].data
    suspect, earlier = deploys[0]["number"], deploys[1]["number"]
    slow = _last_value(queries[0]) > _SLOW_MS
    rollbacks = talk.of("deploy.rollback")
    if "roll it back" not in talk.prompt.lower() or not slow:
        finding = {
            "service": service,
            "p99_ms": _last_value(queries[0]),
            "error_rate": _last_value(queries[1]),
            "suspect": suspect if slow else None,
        }
        return says(json.dumps(finding, sort_keys=True))
    if not rollbacks:
        return calls(("deploy.rollback", {"service": service, "to": earlier}))
    if rollbacks[-1].data is None:
        return says(
            f"Deploy {suspect} of {service} is the cause, but the rollback was not made: {rollbacks[-1].result}"
        )
    if queries[-1].turn < rollbacks[-1].turn:
        return calls(("metrics.query", {"service": service, "metric": "p99_ms"}))
    return says(f"I rolled {service} back to {earlier}; p99 is {_last_value(queries[-1]):g} ms now.")


def _last_value(call: PastCall) -> float:
    return float(call.data["values"][-1])
