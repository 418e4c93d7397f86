"""Models: the live adapter, the scripted model, the loopback provider, and prices. Each module loads on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.doors import load_name

if TYPE_CHECKING:
    from runtime.models.anthropic import AnthropicMessages
    from runtime.models.loopback import LoopbackProvider
    from runtime.models.openai_chat import OpenAIChat
    from runtime.models.prices import PriceTable
    from runtime.models.scripted import ScriptedModel, calls, fails, says

__all__ = [
    "AnthropicMessages",
    "LoopbackProvider",
    "OpenAIChat",
    "PriceTable",
    "ScriptedModel",
    "calls",
    "fails",
    "says",
]

_HOME = {
    "AnthropicMessages": "runtime.models.anthropic",
    "LoopbackProvider": "runtime.models.loopback",
    "OpenAIChat": "runtime.models.openai_chat",
    "PriceTable": "runtime.models.prices",
    "ScriptedModel": "runtime.models.scripted",
    "calls": "runtime.models.scripted",
    "fails": "runtime.models.scripted",
    "says": "runtime.models.scripted",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    return load_name(__name__, _HOME, name)
