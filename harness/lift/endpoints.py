"""Identify provider, endpoint and dialect of a URL. An unknown part is returned as it is, never guessed.

Theory of operation. The host identifies the provider, and the path identifies the endpoint. A few paths are so
distinct that they count on any host, because gateways serve them. Other paths count only if the provider is known to
serve them. Other services of a known provider (embeddings, files, token counts, traces) are not model calls, and
neither is the traffic of other hosts.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

CHAT = "chat/completions"
"""Endpoint of the OpenAI chat-completions dialect, at any provider."""

MESSAGES = "messages"
"""Endpoint of the Anthropic messages dialect, at any provider."""

_HOSTS: tuple[tuple[str, str], ...] = (
    ("api.openai.com", "openai"),
    ("openai.azure.com", "azure"),
    ("cognitiveservices.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("models.inference.ai.azure.com", "azure"),
    ("models.ai.azure.com", "azure"),
    ("openrouter.ai", "openrouter"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral"),
    ("codestral.mistral.ai", "mistral"),
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
    ("dashscope-us.aliyuncs.com", "alibaba"),
    ("api.z.ai", "zai"),
    ("open.bigmodel.cn", "zai"),
    ("api.minimax.io", "minimax"),
    ("api.sambanova.ai", "sambanova"),
    ("integrate.api.nvidia.com", "nvidia"),
    ("models.github.ai", "github"),
    ("api.githubcopilot.com", "github"),
    ("router.huggingface.co", "huggingface"),
    ("api-inference.huggingface.co", "huggingface"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("aiplatform.googleapis.com", "vertex"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("ollama.com", "ollama"),
)
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0", "host.docker.internal"})  # noqa: S104 - names
_BEDROCK = re.compile(r"^bedrock(-agent)?(-runtime)?(-fips)?[.-][a-z0-9.-]*amazonaws\.com(\.cn)?$")
_VERTEX = re.compile(r"^[a-z0-9-]+-aiplatform\.googleapis\.com$")
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")
_BEDROCK_PATH = re.compile(r"/model/([^/]+)/(converse|converse-stream|invoke|invoke-with-response-stream)$")
_GOOGLE_PATH = re.compile(
    r"/(?:models|endpoints|tunedModels)/([^/:]+):(generateContent|streamGenerateContent)$"
)
_RAW_PREDICT = re.compile(r"/publishers/([^/]+)/models/([^/:]+):(rawPredict|streamRawPredict)$")
_RESPONSE = re.compile(r"/responses/resp_[A-Za-z0-9_-]+$")
_CONVERSATION = re.compile(r"/v1/conversations(/conv_[A-Za-z0-9_-]+)?(/restart)?$")
_PUBLISHERS = {"anthropic": "anthropic-messages", "mistralai": "openai-chat"}
_SUFFIXES: tuple[tuple[str, str, str], ...] = (
    ("/chat/completions", CHAT, "openai-chat"),
    ("/fim/completions", "fim/completions", "openai-completions"),
    ("/agents/completions", "agents/completions", "openai-chat"),
    ("/completions", "completions", "openai-completions"),
    ("/responses", "responses", "openai-responses"),
    ("/responses/compact", "responses/compact", "openai-responses"),
    ("/v1/messages", MESSAGES, "anthropic-messages"),
    ("/v2/chat", "v2/chat", "cohere-v2"),
    ("/v1/chat", "v1/chat", "cohere-v1"),
    ("/v1/complete", "complete", "anthropic-complete"),
    ("/v1/generate", "v1/generate", "cohere-generate"),
    ("/api/chat", "api/chat", "ollama-chat"),
    ("/api/generate", "api/generate", "ollama-generate"),
)
_ANYWHERE = frozenset({CHAT, "completions", "responses", "responses/compact", MESSAGES})
_OF_PROVIDERS = {
    "v2/chat": "cohere",
    "v1/chat": "cohere",
    "v1/generate": "cohere",
    "complete": "anthropic",
    "agents/completions": "mistral",
    "fim/completions": "mistral",
}
_OLLAMA_PORT = 11434
_BESIDE = re.compile(
    r"/(embed|embeddings?|embed-jobs|files|uploads|batches|images|audio|moderations|rerank|tokenize|detokenize|ocr|"
    r"fine_tuning|vector_stores|containers|evals|organizations?|dashboard|telemetry|traces|credits|key|auth|"
    r"generation|count_tokens|input_tokens|countTokens|embedContent|batchEmbedContents|cachedContents|apply|"
    r"guardrail|skills|realtime|tags|ps|show|pull|version|connectors|datasets|classify)"
    r"(/|:|$)|:(countTokens|embedContent|batchEmbedContents|predict|computeTokens)$|/(input_items|cancel)$"
)


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint that a URL identifies.

    Attributes:
        provider: Provider by host; `local` for loopback hosts, and the host itself if it is unknown.
        name: The provider's name of the endpoint, or the path if it is unknown.
        dialect: The dialect of its bodies; `None` if it is unknown or not a model's endpoint.
        is_other: Whether it is known not to be a model's endpoint, so ignoring it loses nothing.
        is_foreign: Whether the host is unknown. Its traffic is mostly not model calls.
        deployment: Model named in the path, if any.
    """

    provider: str
    name: str
    dialect: str | None = None
    is_other: bool = False
    is_foreign: bool = False
    deployment: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether the dialect of the endpoint is known."""
        return self.dialect is not None


@lru_cache(maxsize=1024)
def identify(url: str, method: str = "POST") -> Endpoint:
    """Return the endpoint of a URL; a malformed URL is an unknown endpoint of its own name.

    Model calls are POST requests. Among other requests, only those that fetch a background response matter.
    """
    try:
        split = urlsplit(url)
        host, port = (split.hostname or "").lower(), split.port
    except ValueError:
        return Endpoint(provider="unknown", name=url)
    path = split.path.rstrip("/")
    provider = _provider(host)
    if method != "POST" and not (method == "GET" and _RESPONSE.search(path)):
        return Endpoint(provider=provider, name=path or "/", is_other=True)
    found = _by_model(path) or _by_suffix(provider, host, path, port=port)
    if found is not None:
        return msgspec.structs.replace(found, provider=provider)
    is_other = provider != host and _BESIDE.search(path) is not None
    return Endpoint(provider=provider, name=path or "/", is_other=is_other, is_foreign=provider == host)


def looks_like_a_request(body: Any) -> bool:
    """Return whether a body sent to an unknown endpoint has the fields of a request to a model."""
    match body:
        case {"messages": list()} | {"contents": list()}:
            return True
        case {"inputs": _, "parameters": dict()} | {"input": {"prompt": _} | {"messages": _}}:
            return True
        case {"model": _} | {"model_id": _} | {"modelId": _}:
            return any(name in body for name in ("prompt", "input", "inputs", "inputText"))
        case _:
            return False


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


def _by_model(path: str) -> Endpoint | None:
    """Return the endpoint of a path that names both the model and the operation."""
    if found := _BEDROCK_PATH.search(path):
        dialect = "bedrock-converse" if found[2].startswith("converse") else "bedrock-invoke"
        return Endpoint(provider="", name=found[2], dialect=dialect, deployment=unquote(found[1]))
    if found := _GOOGLE_PATH.search(path):
        return Endpoint(provider="", name=found[2], dialect="gemini", deployment=unquote(found[1]))
    if found := _RAW_PREDICT.search(path):
        dialect_of = _PUBLISHERS.get(found[1])
        return Endpoint(provider="", name=found[3], dialect=dialect_of, deployment=unquote(found[2]))
    return None


def _by_suffix(provider: str, host: str, path: str, *, port: int | None) -> Endpoint | None:
    deployment = _DEPLOYMENT.search(path)
    model = unquote(deployment[1]) if deployment else None
    if _RESPONSE.search(path):
        return Endpoint(provider="", name="responses", dialect="openai-responses")
    if provider == "mistral" and _CONVERSATION.search(path):
        return Endpoint(provider="", name="conversations", dialect="mistral-conversations")
    for suffix, name, dialect in _SUFFIXES:
        if path.endswith(suffix) and _serves(provider, host, name, port=port):
            return Endpoint(provider="", name=name, dialect=dialect, deployment=model)
    return None


def _serves(provider: str, host: str, name: str, *, port: int | None) -> bool:
    """Return whether this provider serves an endpoint of that name."""
    if name in _ANYWHERE:
        return True
    if name.startswith("api/"):
        return provider in {"local", "ollama"} or port == _OLLAMA_PORT
    return provider in {_OF_PROVIDERS[name], "local"}
