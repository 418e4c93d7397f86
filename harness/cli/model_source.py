"""The model that answers a command's run: a policy on loopback, an endpoint, or the agent's own client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.golden.load_code import importable, load_code
from runtime.ports.models import ModelPort


@contextmanager
def open_model(script: str | None, base_url: str | None, api_key_env: str) -> Iterator[ModelPort | None]:
    """Yield the model that the options name, or `None` for the agent's own client.

    Args:
        script: Policy that answers on loopback: `module:function`, importable from the working folder.
        base_url: Base URL of an OpenAI-compatible endpoint.
        api_key_env: Environment variable that holds the endpoint's key.

    Raises:
        UsageError: If the policy cannot be loaded.
    """
    from runtime.models.openai_chat import OpenAIChat
    from runtime.testing.loopback import LoopbackProvider

    if script is not None:
        with importable(Path.cwd()):
            policy = load_code(script, where="--script")
            with LoopbackProvider(policy) as provider:
                yield OpenAIChat(base_url=provider.base_url)
    elif base_url is not None:
        yield OpenAIChat(base_url=base_url, api_key=os.environ.get(api_key_env))
    else:
        yield None
