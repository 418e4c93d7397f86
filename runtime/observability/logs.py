"""Log lines: each event as one structured line with request id and tenant, on stderr.

The lines that tools write get the same names through `run_names`, which binds them in structlog's context.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Any

from runtime.core.money import usd_text
from runtime.observability import names
from runtime.observability.run_events import Event

_GOOD = frozenset({None, "ok", "cached", "granted", "put", "forget", "expire"})


class LogSink:
    """Writes events through structlog.

    Attributes:
        required: False: a log that cannot be written stops nothing.
    """

    required: bool = False

    def __init__(self, logger: Any = None) -> None:
        """Use a structlog logger; by default the configured one, else JSON lines on stderr."""
        self._logger = default_logger() if logger is None else logger

    def take(self, event: Event) -> None:
        """Write one line; failures and refusals are warnings."""
        fields = line_of(event)
        bad = event.error_type is not None or event.status not in _GOOD
        (self._logger.warning if bad else self._logger.info)(event.kind, **fields)


def default_logger() -> Any:
    """Return the logger that the program configured, or one that writes JSON lines to stderr.

    structlog's own default writes to stdout, which belongs to results.
    """
    import structlog

    if structlog.is_configured():
        return structlog.get_logger("goldrun")
    return structlog.wrap_logger(
        structlog.WriteLogger(sys.stderr),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.BoundLogger,
    )


def run_names(*, request_id: str, tenant: str, environment: str) -> AbstractContextManager[None]:
    """Return a context in which lines of any structlog logger carry the run's names.

    It holds for the task that enters it and for tasks and threads (`asyncio.to_thread`) that it starts.
    """
    import structlog

    bound = {names.REQUEST_ID: request_id, names.TENANT: tenant, names.ENVIRONMENT: environment}
    found: AbstractContextManager[None] = structlog.contextvars.bound_contextvars(**bound)
    return found


def line_of(event: Event) -> dict[str, Any]:
    """Return the fields of an event's line; what is unknown is left out."""
    totals = event.totals
    found = {
        names.REQUEST_ID: event.request_id or None,
        names.TENANT: event.tenant or None,
        names.ENVIRONMENT: event.environment or None,
        names.RUN_ID: event.run_id or None,
        names.AGENT_NAME: event.agent or None,
        names.DEPLOY: event.deploy,
        names.PARENT: event.parent,
        names.POLICY_HASH: event.policy_hash,
        names.STARTED_AT: event.started_at,
        names.LANE: event.lane or None,
        names.TOOL_NAME: event.name if event.subject == "tool" else None,
        names.REQUEST_MODEL: event.name if event.subject == "model" else None,
        names.STATUS: event.status,
        names.ARGS_HASH: event.args_hash,
        names.AT_S: event.at_s,
        names.DURATION_S: event.duration_s,
        names.STEPS: None if totals is None else totals.steps,
        names.TOOL_CALLS: None if totals is None else totals.tool_calls,
        names.INPUT_TOKENS: event.input_tokens,
        names.OUTPUT_TOKENS: event.output_tokens,
        names.COST_USD: usd_text(event.cost_nanousd),
        names.ERROR_TYPE: event.error_type,
        names.STOP_REASON: event.stop_reason,
        names.BY: event.by,
        names.HOW: event.how,
        names.REASON: event.reason,
        names.ACT: event.act,
    }
    return {name: value for name, value in found.items() if value is not None}
