"""Models: the live adapter, the scripted model, the loopback provider, and prices. Loaded when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

_HOMES = {
    "AnthropicMessages": "anthropic",
    "LoopbackProvider": "loopback",
    "OpenAIChat": "openai_chat",
    "PriceTable": "prices",
    "ScriptedModel": "scripted",
    "calls": "scripted",
    "fails": "scripted",
    "says": "scripted",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
