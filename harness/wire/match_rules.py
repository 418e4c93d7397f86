"""How much of a request must be as recorded: the mapping `match`, as data that a recording keeps.

```python
match = {
    "ignore": {"json": ["$.metadata.trace_id"], "query": ["nonce"], "headers": ["x-request-id"]},
    "identity": ["authorization", "x-*"],  # headers that must be equal, else two users' answers could be swapped
    "hosts": {"pass": ["vault.internal"], "ignore": ["*.telemetry.example"], "block": ["api.example.com"]},
    "new": "append",        # refuse (default): a request that was not recorded fails; append: it is made and recorded
    "repeat": "last",       # once (default): each answer serves once; last: the last one serves again
    "normalise": ["date", "uuid", "boundary"],  # default: what is of the moment is no difference
}
```
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from harness.wire.match_form import JsonPath, parse_json_path
from runtime.errors import UsageError

Normaliser = Literal["date", "uuid", "boundary"]
HostRule = Literal["record", "pass", "ignore", "block"]


class MatchIgnore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What takes no part in matching.

    Attributes:
        json: Paths into JSON bodies; `[*]` for each entry of a list, `.*` for each member.
        headers: Headers that `identity` would compare otherwise; `*` and `?` stand for any text.
        query: Names of query parameters.
    """

    json: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    query: tuple[str, ...] = ()


class MatchHosts(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"passed": "pass"},
):
    """Hosts that are not recorded; `*.example.com` for all below one.

    Attributes:
        passed: Reached directly, while recording and in replay.
        ignore: Reached directly while recording, answered with an empty 204 in replay: telemetry.
        block: Refused, while recording and in replay.
    """

    passed: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    block: tuple[str, ...] = ()


class MatchRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The mapping `match`.

    Attributes:
        ignore: What takes no part.
        identity: Headers that must be equal; `*` and `?` stand for any text.
        hosts: Hosts that are not recorded.
        new: What a request without a recorded answer does: fail, or be made and recorded.
        repeat: Whether an answer serves once, or the last of equal requests again.
        normalise: What is of the moment and no difference: today's date and times of today, UUIDs, the boundary of
            multipart bodies.
    """

    ignore: MatchIgnore = MatchIgnore()
    identity: tuple[str, ...] = ()
    hosts: MatchHosts = MatchHosts()
    new: Literal["refuse", "append"] = "refuse"
    repeat: Literal["once", "last"] = "once"
    normalise: tuple[Normaliser, ...] = ("date", "uuid", "boundary")

    def host_rule(self, url: str) -> HostRule:
        """Return what holds for the host of a URL."""
        host = (urlsplit(url).hostname or "").lower()
        for rule, names in (
            ("block", self.hosts.block),
            ("ignore", self.hosts.ignore),
            ("pass", self.hosts.passed),
        ):
            if any(host == name.lower() or _is_below(host, name.lower()) for name in names):
                return rule  # type: ignore[return-value]  # the literals above
        return "record"

    def compares_header(self, name: str) -> bool:
        """Return whether a header, its name in lower case, must be equal."""
        return _fits(name, self.identity) and not _fits(name, self.ignore.headers)

    @property
    def paths(self) -> tuple[JsonPath, ...]:
        """The ignored paths, parsed."""
        return tuple(parse_json_path(path) for path in self.ignore.json)


def match_rules(mapping: Mapping[str, Any] | MatchRules | None, *, where: str) -> MatchRules | None:
    """Return the rules of a mapping; `None` stays `None`.

    Raises:
        UsageError: If it has unknown keys or wrong values; names the place.
    """
    if mapping is None or isinstance(mapping, MatchRules):
        return mapping
    try:
        rules = msgspec.convert(mapping, MatchRules)
        _ = rules.paths
    except (msgspec.ValidationError, UsageError) as error:
        what = error.what if isinstance(error, UsageError) else str(error)
        raise UsageError(
            f"match: {what}",
            where=where,
            next_step="the keys are ignore, identity, hosts, new, repeat and normalise; see docs/http-recording.md",
        ) from error
    return rules


def rules_text(rules: MatchRules) -> str:
    """Return the rules as one line of JSON, for an environment variable."""
    return json.dumps(msgspec.to_builtins(rules), separators=(",", ":"))


def _is_below(host: str, name: str) -> bool:
    return name.startswith("*.") and host.endswith(name[1:])


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern.lower()) for pattern in patterns)
