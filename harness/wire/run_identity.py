"""What an HTTP recording says of its run: the names that commands find, group and compare it by."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import msgspec

from runtime.core.checking import Problems

UNKNOWN = "unknown"
"""Tenant, environment and agent of a recording that does not name them."""
_PREFIX = "GOLDRUN_"
_UNREADABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_LONGEST = 200


class RunIdentity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The names of a recorded run; what is `None` was not said.

    Attributes:
        request_id: Finds the run. Each conversation of the recording is a run `<request_id>.<first exchange>`.
        tenant: Whose run it is.
        environment: Which world: `prod`, `staging`, `test`, ...
        agent: Name of the agent.
        agent_version: Its version.
        deploy: Version label that reports compare.
        task: What the run is about, for example a golden task `suite/name`; reports pair runs by it.

    Raises:
        UsageError: If a name is no text that can be stored and shown on one line.
    """

    request_id: str | None = None
    tenant: str | None = None
    environment: str | None = None
    agent: str | None = None
    agent_version: str | None = None
    deploy: str | None = None
    task: str | None = None

    def __post_init__(self) -> None:
        problems = Problems("record_http")
        for name in RunIdentity.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not _is_name(value):
                problems.add(name, value, f"text of 1 to {_LONGEST} characters on one line")
        problems.refuse()

    def completed(self, environment: Mapping[str, str]) -> RunIdentity:
        """Return the names, those that were not said taken from variables such as `GOLDRUN_AGENT`.

        Raises:
            UsageError: If a variable holds no such name.
        """
        named = {
            name: environment.get(_PREFIX + name.upper()) or None for name in RunIdentity.__struct_fields__
        }
        return self.filled(RunIdentity(**named))

    def filled(self, other: RunIdentity | None) -> RunIdentity:
        """Return the names alone, those that were not said taken from another's."""
        own = {name: getattr(self, name) for name in RunIdentity.__struct_fields__}
        if other is not None:
            own = {name: getattr(other, name) if value is None else value for name, value in own.items()}
        return RunIdentity(**own)

    def variables(self) -> dict[str, str]:
        """Return the environment variables that give a child process these names."""
        named = msgspec.structs.asdict(self)
        return {_PREFIX + name.upper(): value for name, value in named.items() if value is not None}

    def known(self) -> RunIdentity:
        """Return the names with `unknown` where tenant, environment or agent was not said."""
        return msgspec.structs.replace(
            self,
            tenant=self.tenant or UNKNOWN,
            environment=self.environment or UNKNOWN,
            agent=self.agent or UNKNOWN,
        )


def _is_name(value: object) -> bool:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or value.isspace():
        return False
    return not any(unicodedata.category(char) in _UNREADABLE for char in value)
