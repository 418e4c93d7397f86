"""Fakes for tests of agents: each passes the contract tests of the real thing.

- Models: `ScriptedModel` answers from a list or from a function that returns `says`, `calls` and `fails`.
  `LoopbackProvider` does the same over HTTP, for model adapters. `read_request` gives such a function the conversation.
- Time: `FakeClock`.
- People: `GrantAll`, `DenyAll` and `SilentDesk` answer approvals.
- Control: `RamControlStore` is a control store without a file, for one process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.doors import load_name

if TYPE_CHECKING:
    from runtime.testing.clock import FakeClock
    from runtime.testing.conversation import Conversation, PastCall, read_request
    from runtime.testing.desks import DenyAll, GrantAll, SilentDesk
    from runtime.testing.loopback import LoopbackProvider
    from runtime.testing.ram_store import RamControlStore
    from runtime.testing.scripted import ReplyFunction, ScriptedModel, Turn, calls, fails, says

__all__ = [
    "Conversation",
    "DenyAll",
    "FakeClock",
    "GrantAll",
    "LoopbackProvider",
    "PastCall",
    "RamControlStore",
    "ReplyFunction",
    "ScriptedModel",
    "SilentDesk",
    "Turn",
    "calls",
    "fails",
    "read_request",
    "says",
]

_HOME = {
    "Conversation": "runtime.testing.conversation",
    "DenyAll": "runtime.testing.desks",
    "FakeClock": "runtime.testing.clock",
    "GrantAll": "runtime.testing.desks",
    "LoopbackProvider": "runtime.testing.loopback",
    "PastCall": "runtime.testing.conversation",
    "RamControlStore": "runtime.testing.ram_store",
    "ReplyFunction": "runtime.testing.scripted",
    "ScriptedModel": "runtime.testing.scripted",
    "SilentDesk": "runtime.testing.desks",
    "Turn": "runtime.testing.scripted",
    "calls": "runtime.testing.scripted",
    "fails": "runtime.testing.scripted",
    "read_request": "runtime.testing.conversation",
    "says": "runtime.testing.scripted",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    return load_name(__name__, _HOME, name)
