"""Which provider and which endpoint a URL names; what is not known is named as it stands, never guessed."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import msgspec

CHAT = "chat/completions"
"""Endpoint of the OpenAI chat-completions dialect, whoever serves it."""

MESSAGES = "messages"
"""Endpoint of the Anthropic messages dialect, whoever serves it."""

_HOSTS: tuple[tuple[str, str], ...] = (
    ("api.openai.com", "openai"),
    ("openai.azure.com", "azure"),
    ("cognitiveservices.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("models.inference.ai.azure.com", "azure"),
    ("openrouter.ai", "openrouter"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral"),
    ("api.deepseek.com", "deepseek"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.cerebras.ai", "cerebras"),
    ("api.fireworks.ai", "fireworks"),
    ("api.x.ai", "xai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.moonshot.ai", "moonshot"),
    ("api.moonshot.cn", "moonshot"),
    ("dashscope.aliyuncs.com", "alibaba"),
    ("dashscope-intl.aliyuncs.com", "alibaba"),
    ("api.sambanova.ai", "sambanova"),
    ("integrate.api.nvidia.com", "nvidia"),
    ("models.github.ai", "github"),
    ("router.huggingface.co", "huggingface"),
    ("api-inference.huggingface.co", "huggingface"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("aiplatform.googleapis.com", "vertex"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
)
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "host.docker.internal"})  # noqa: S104 - names
_BEDROCK = re.compile(r"^bedrock-runtime[.-][a-z0-9.-]*amazonaws\.com(\.cn)?$")
_VERTEX = re.compile(r"^[a-z0-9-]+-aiplatform\.googleapis\.com$")
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")
_BEDROCK_PATH = re.compile(r"/(converse|converse-stream|invoke|invoke-with-response-stream)$")
_GOOGLE_PATH = re.compile(r":(generateContent|streamGenerateContent)$")
_SUFFIXES = (
    ("/chat/completions", CHAT),
    ("/completions", "completions"),
    ("/responses", "responses"),
    ("/v1/messages", MESSAGES),
    ("/v2/chat", "v2/chat"),
    ("/v1/chat", "v1/chat"),
    ("/api/chat", "api/chat"),
)
_ANYWHERE = frozenset({CHAT, "completions", "responses", MESSAGES})


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a URL names.

    Attributes:
        provider: Provider by host; `local` for loopback hosts, the host itself where it is not known.
        name: Endpoint in its provider's words, or the path where it is not known.
        is_known: Whether the path names a model endpoint.
        deployment: Model named in the path (Azure), if any.
    """

    provider: str
    name: str
    is_known: bool
    deployment: str | None = None


def identify(url: str) -> Endpoint:
    """Return what a URL names; a URL that cannot be split is its own, unknown endpoint."""
    try:
        split = urlsplit(url)
        host = (split.hostname or "").lower()
    except ValueError:
        return Endpoint(provider="unknown", name=url, is_known=False)
    path = split.path.rstrip("/")
    provider = _provider(host)
    name = _endpoint(provider, host, path)
    found = _DEPLOYMENT.search(path)
    return Endpoint(
        provider=provider,
        name=path or "/" if name is None else name,
        is_known=name is not None,
        deployment=unquote(found[1]) if found else None,
    )


def _provider(host: str) -> str:
    if host in _LOCAL:
        return "local"
    if _BEDROCK.match(host):
        return "bedrock"
    if _VERTEX.match(host):
        return "vertex"
    for known, provider in _HOSTS:
        if host == known or host.endswith("." + known):
            return provider
    return host or "unknown"


def _endpoint(provider: str, host: str, path: str) -> str | None:
    if provider == "bedrock":
        found = _BEDROCK_PATH.search(path)
        return found[1] if found else None
    if provider in {"gemini", "vertex"} and (found := _GOOGLE_PATH.search(path)):
        return found[1]
    for suffix, name in _SUFFIXES:
        if path.endswith(suffix):
            return name if name in _ANYWHERE or provider != host else None
    return None
