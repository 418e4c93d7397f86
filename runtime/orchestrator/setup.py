"""What the flow is built from: the header, and each tool's check of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.core.run import Header, ToolDecl


@dataclass(frozen=True, slots=True)
class Checked:
    """The verdict on a call's arguments.

    Attributes:
        value: The validated value, if there are no problems.
        problems: One line each, `path: rule`, in order of path; equal for pydantic and JSON Schema.
    """

    value: Any = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool as the flow knows it."""

    decl: ToolDecl
    validate: Callable[[Any], Checked]

    @property
    def name(self) -> str:
        """The tool's exact name."""
        return self.decl.schema.name


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSetup:
    """All a flow needs.

    Attributes:
        header: The run's header, with its hashes.
        tools: Tools by name; `None` where schemas are unknown and nothing is checked.
        model_timeout_s: Hard limit of one model attempt, in seconds.
        root_request_id: What stands for the run in idempotency keys; see `runtime.core.ids.key_root`.
    """

    header: Header
    tools: Mapping[str, ToolSpec] | None = field(default_factory=dict)
    model_timeout_s: float | None = 120.0
    root_request_id: str | None = None
