"""Keys of control state: every key of a tenant starts with tenant and environment, and no two scopes collide."""

from __future__ import annotations

from datetime import UTC, datetime

GLOBAL = "*"
"""The spend scope that holds every run."""


def scope_key(tenant: str, environment: str, *parts: str) -> str:
    """Return the key of something a tenant has in one environment.

    `/` and `%` inside a part are escaped, so that different parts never make the same key.
    """
    return "/".join([_escaped(part) for part in (tenant, environment, *parts)])


def key_below(key: str, *parts: str) -> str:
    """Return the key that `scope_key` makes of the parts of a key and some more."""
    return "/".join((key, *[_escaped(part) for part in parts]))


def upstream_key(environment: str, subject: str, name: str) -> str:
    """Return the key of the breaker that all tenants of an environment have for a tool or model."""
    return scope_key(GLOBAL, environment, subject, name)


def run_scope(tenant: str, environment: str, request_id: str) -> str:
    """Return the spend scope of one run; it belongs to the request id, so a resumed run keeps it."""
    return scope_key(tenant, environment, "run", request_id)


def day_scope(tenant: str, environment: str, now: float) -> str:
    """Return the spend scope of a tenant's day (UTC); `now` is epoch seconds."""
    day = datetime.fromtimestamp(now, UTC).date().isoformat()
    return scope_key(tenant, environment, "day", day)


def parts_of(key: str) -> tuple[str, ...]:
    """Return the parts that `scope_key` made a key of."""
    return tuple(part.replace("%2F", "/").replace("%25", "%") for part in key.split("/"))


def _escaped(part: str) -> str:
    if "%" in part or "/" in part:
        return part.replace("%", "%25").replace("/", "%2F")
    return part
