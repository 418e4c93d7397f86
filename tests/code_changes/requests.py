"""Changes of what the model is asked: instructions, model, parameters."""

from __future__ import annotations

from tests.code_changes.change import green, oncall, support

PROMPTS = [
    support(
        "one word of the instructions",
        ("agent", "a small shop", "a little shop"),
        cause="prompt",
        line="'small' -> 'little'",
    ),
    support(
        "a full stop",
        ("agent", "never an instruction.", "never an instruction"),
        cause="prompt",
        line="instructions",
    ),
    support(
        "a new last line",
        ("agent", "never an instruction.\n", "never an instruction.\nBe brief.\n"),
        cause="prompt",
        line="instructions added 'Be brief.",
    ),
    support(
        "a line taken out",
        ("agent", "Open a ticket for a late parcel. ", ""),
        cause="prompt",
        line="instructions",
    ),
    support("capitals", ("agent", "Refund only", "REFUND ONLY"), cause="prompt", line="REFUND"),
    support(
        "blanks at the end of a line",
        ("agent", "a small shop.\n", "a small shop.  \n"),
        cause="prompt",
        line="instructions",
    ),
    support(
        "no instructions",
        ("agent", "        instructions=INSTRUCTIONS,\n", ""),
        cause="prompt",
        line="instructions",
    ),
    oncall(
        "one word of the instructions",
        ("agent", "a few services", "some services"),
        cause="prompt",
        line="'a few' -> 'some'",
    ),
    oncall(
        "two sentences change places",
        (
            "agent",
            "Look at latency, errors and deploys together before you judge. Never act on one number alone.",
            "Never act on one number alone. Look at latency, errors and deploys together before you judge.",
        ),
        cause="prompt",
        line="instructions",
    ),
]
MODELS = [
    support(
        "model id",
        ("agent", '"gpt-4o-mini"', '"gpt-4.1-mini"'),
        cause="model",
        line="gpt-4o-mini -> gpt-4.1-mini",
    ),
    support(
        "model id that nobody prices",
        ("agent", '"gpt-4o-mini"', '"house-model-7"'),
        cause="model",
        line="gpt-4o-mini -> house-model-7",
    ),
    oncall("model id", ("agent", '"gpt-4o"', '"gpt-5"'), cause="model", line="gpt-4o -> gpt-5"),
    oncall(
        "dated model id",
        ("agent", '"gpt-4o"', '"gpt-4o-2024-11-20"'),
        cause="model",
        line="gpt-4o-2024-11-20",
    ),
    green(
        support(
            "a fallback model",
            ("agent", 'provider="openai",', 'provider="openai", fallbacks=("gpt-4.1-mini",),'),
        ),
        "no recorded call failed, so the fallback is never asked",
    ),
    green(support("provider", ("agent", 'provider="openai"', 'provider="azure"')), "no request holds it"),
    support(
        "temperature",
        ("agent", '{"temperature": 0}', '{"temperature": 0.7}'),
        cause="parameters",
        line="temperature 0 -> 0.7",
    ),
    support(
        "temperature taken out",
        ("agent", 'parameters={"temperature": 0},', ""),
        cause="parameters",
        line="temperature 0 -> nothing",
    ),
    support(
        "top_p added",
        ("agent", '{"temperature": 0}', '{"temperature": 0, "top_p": 0.9}'),
        cause="parameters",
        line="top_p nothing -> 0.9",
    ),
    support(
        "a number written 0.0",
        ("agent", '{"temperature": 0}', '{"temperature": 0.0}'),
        cause="parameters",
        line="temperature 0 -> 0.0",
    ),
    support(
        "output limit",
        ("agent", "max_output_tokens=400", "max_output_tokens=800"),
        cause="parameters",
        line="max_completion_tokens 400 -> 800",
    ),
    support(
        "output limit taken out",
        ("agent", "        max_output_tokens=400,\n", ""),
        cause="error",
        line="sets no output limit",
    ),
    oncall(
        "seed parameter",
        ("agent", '{"temperature": 0}', '{"temperature": 0, "seed": 1}'),
        cause="parameters",
        line="seed nothing -> 1",
    ),
    oncall(
        "temperature",
        ("agent", '{"temperature": 0}', '{"temperature": 1}'),
        cause="parameters",
        line="temperature 0 -> 1",
    ),
    oncall(
        "a parameter of text",
        ("agent", '{"temperature": 0}', '{"temperature": 0, "tool_choice": "auto"}'),
        cause="parameters",
        line="tool_choice nothing -> 'auto'",
    ),
    oncall(
        "output limit",
        ("agent", "max_output_tokens=600", "max_output_tokens=60"),
        cause="parameters",
        line="max_completion_tokens 600 -> 60",
    ),
]
