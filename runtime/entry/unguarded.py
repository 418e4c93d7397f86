"""Says once what does not hold for an agent that writes without a control store."""

from __future__ import annotations

import logging
from functools import lru_cache

from runtime.control.permissions import is_allowed
from runtime.core.run import Header

_LOG = logging.getLogger("goldrun")


def warn_unguarded(header: Header) -> None:
    """Log, once for each agent of a process, what a run that writes lacks without a control store."""
    if header.tools == "opaque":
        return
    writes = [
        t.schema.name
        for t in header.tools
        if t.write and is_allowed(header.policy, t.schema.name, write=True)
    ]
    if writes:
        _warn_once(header.agent, writes[0])


@lru_cache(maxsize=1024)
def _warn_once(agent: str, tool: str) -> None:
    _LOG.warning(
        "agent %r may write (%s) and runs without a control store: no kill switch, no claim against a second delivery, "
        "no rate, slot, breaker or cap across runs. Pass governor=Governor(SqliteControlStore(...))",
        agent,
        tool,
    )
