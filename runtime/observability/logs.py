"""Log lines: each event as one structured line with request id and tenant."""

from __future__ import annotations

from typing import Any

from runtime.core.money import usd_text
from runtime.observability import names
from runtime.observability.events import Event


class LogSink:
    """Writes events through structlog; lines of tools get the request id from the same context."""

    def __init__(self, logger: Any = None) -> None:
        """Use a structlog logger, `goldrun` by default."""
        import structlog

        self._logger = structlog.get_logger("goldrun") if logger is None else logger

    def take(self, event: Event) -> None:
        """Write one line; failures and refusals are warnings."""
        fields = line_of(event)
        bad = event.error_type is not None or event.kind in {"refused", "not_admitted"}
        (self._logger.warning if bad else self._logger.info)(event.kind, **fields)


def line_of(event: Event) -> dict[str, Any]:
    """Return the fields of an event's line; what is unknown is left out."""
    found = {
        names.REQUEST_ID: event.request_id,
        names.TENANT: event.tenant,
        names.ENVIRONMENT: event.environment,
        names.RUN_ID: event.run_id,
        names.AGENT_NAME: event.agent,
        names.DEPLOY: event.deploy,
        names.LANE: event.lane or None,
        names.TOOL_NAME: event.name if event.subject == "tool" else None,
        names.REQUEST_MODEL: event.name if event.subject == "model" else None,
        names.STATUS: event.status,
        names.ARGS_HASH: event.args_hash,
        names.IDEMPOTENCY_KEY: event.idempotency_key,
        names.AT_S: event.at_s,
        names.DURATION_S: event.duration_s,
        names.INPUT_TOKENS: event.input_tokens,
        names.OUTPUT_TOKENS: event.output_tokens,
        names.COST_USD: usd_text(event.cost_nanousd),
        names.ERROR_TYPE: event.error_type,
        names.STOP_REASON: event.stop_reason,
    }
    return {name: value for name, value in found.items() if value is not None}
