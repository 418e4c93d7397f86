"""Prices: equal to the snapshot's own arithmetic, unknown is None, the override file, no import before use."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage as SnapshotUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from runtime import PriceTable
from runtime.core.money import NANOS_PER_USD, Rate, Usage
from runtime.errors import DataError, UsageError

MODELS = [
    ("gpt-4o", "openai"),
    ("gpt-4o-mini-2024-07-18", "openai"),
    ("gpt-5", "openai"),
    ("o3", "openai"),
    ("claude-sonnet-4-5", "anthropic"),
    ("claude-3-5-haiku-latest", "anthropic"),
    ("gemini-2.5-pro", "google"),
    ("gemini-2.5-flash", "google"),
    ("deepseek-chat", "deepseek"),
    ("mistral-large-latest", "mistral"),
    ("sonar-pro", "perplexity"),
    ("llama-3.3-70b-versatile", "groq"),
]
TIMES = [
    datetime(2024, 6, 1, tzinfo=UTC),
    datetime(2025, 6, 1, 3, tzinfo=UTC),
    datetime(2025, 7, 1, 18, tzinfo=UTC),
    datetime(2026, 11, 22, tzinfo=UTC),
]


@given(
    st.sampled_from(MODELS),
    st.sampled_from(TIMES),
    st.integers(0, 600_000),
    st.integers(0, 100_000),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_cost_equals_the_snapshots_own_rounded_up(
    model: tuple[str, str], at: datetime, sent: int, answered: int, read: float, written: float
) -> None:
    name, provider = model
    rate = PriceTable.default().rate(name, provider, at)
    assert rate is not None
    cached = int(sent * read)
    wrote = int((sent - cached) * written)
    usage = Usage(
        input_tokens=sent, output_tokens=answered, cache_read_tokens=cached, cache_write_tokens=wrote
    )

    theirs = (
        calc_price(
            SnapshotUsage(
                input_tokens=sent, output_tokens=answered, cache_read_tokens=cached, cache_write_tokens=wrote
            ),
            name,
            provider_id=provider,
            genai_request_timestamp=at,
        ).total_price
        * NANOS_PER_USD
    )

    ours = rate.cost(usage)
    assert ours is not None
    assert theirs <= ours < theirs + 1 + Decimal("0.1")
    assert ours <= rate.worst_case(input_tokens=sent, output_tokens=answered)


def test_price_follows_the_time_of_the_call() -> None:
    table = PriceTable.default()

    before = table.rate("o3", "openai", TIMES[1])
    after = table.rate("o3", "openai", TIMES[2])

    assert before is not None
    assert after is not None
    assert (before.input, before.output) == (10 * NANOS_PER_USD, 40 * NANOS_PER_USD)
    assert (after.input, after.output) == (2 * NANOS_PER_USD, 8 * NANOS_PER_USD)


def test_rate_without_a_time_is_the_rate_at_the_snapshots_date() -> None:
    table = PriceTable.default()
    day = table.id.partition("(")[2].partition(",")[0]

    assert table.rate("gpt-4o", "openai") == table.rate(
        "gpt-4o", "openai", datetime.fromisoformat(f"{day}T12:00:00+00:00")
    )


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("no-such-model", None),
        ("no-such-model", "openai"),
        ("gpt-4o", "no-such-provider"),
        ("text-embedding-3-small", "openai"),
        ("whisper-1", "openai"),
        ("", None),
    ],
)
def test_unknown_price_is_none_and_never_zero(model: str, provider: str | None) -> None:
    assert PriceTable.default().rate(model, provider) is None


@pytest.mark.parametrize(
    ("convention", "own", "model"),
    [
        ("gcp.gemini", "google", "gemini-2.5-pro"),
        ("gcp.vertex_ai", "google", "gemini-2.5-pro"),
        ("azure.ai.openai", "azure", "gpt-4o"),
        ("mistral_ai", "mistral", "mistral-large-latest"),
        ("x_ai", "x-ai", "grok-3"),
    ],
)
def test_provider_names_of_the_conventions_find_their_prices(convention: str, own: str, model: str) -> None:
    table = PriceTable.default()

    found = table.rate(model, convention)

    assert found is not None
    assert found == table.rate(model, own)


def test_provider_may_be_left_out() -> None:
    table = PriceTable.default()

    assert table.rate("gpt-4o", None) == table.rate("gpt-4o", "openai")


def test_override_file_wins_and_is_part_of_the_id(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(
        "schema: prices/1\n"
        "models:\n"
        "  demo-large: {input: 2.5, output: '10', cache_read: 0.1}\n"
        "  free: {input: 0, output: 0}\n"
        "  gpt-4o: {input: 1, output: 1}\n"
    )

    table = PriceTable.default(file)

    assert table.rate("demo-large", "loopback") == Rate(
        input=2_500_000_000, output=10_000_000_000, cache_read=100_000_000
    )
    assert table.rate("free", None) == Rate(input=0, output=0)
    assert table.rate("gpt-4o", "openai") == Rate(input=NANOS_PER_USD, output=NANOS_PER_USD)
    assert table.rate("gpt-4o-mini", "openai") == PriceTable.default().rate("gpt-4o-mini", "openai")
    assert table.id.startswith(PriceTable.default().id + " + override ")


def test_equal_override_files_have_equal_ids_and_others_do_not(tmp_path: Path) -> None:
    texts = [
        "schema: prices/1\nmodels: {}\n",
        "schema: prices/1\nmodels: {}\n",
        "schema: prices/1\nmodels: { }\n",
    ]
    ids = []
    for index, text in enumerate(texts):
        file = tmp_path / f"{index}.yaml"
        file.write_text(text)
        ids.append(PriceTable.default(file).id)

    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema: prices/2\nmodels: {}", "schema: "),
        ("models: {}", "schema: "),
        ("schema: prices/1", "models: "),
        ("schema: prices/1\nmodels: {m: {input: 1}}", "models.m.output: "),
        ("schema: prices/1\nmodels: {m: {input: 1, output: 1, inputs: 1}}", "models.m.inputs: "),
        ("schema: prices/1\nmodels: {m: {input: -1, output: 1}}", "models.m.input: "),
        ("schema: prices/1\nmodels: {m: {input: true, output: 1}}", "models.m.input: "),
        ("schema: prices/1\nmodels: {m: {input: , output: 1}}", "models.m.input: "),
    ],
)
def test_wrong_override_file_is_refused_with_file_and_field(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)

    with pytest.raises(UsageError) as caught:
        PriceTable.default(file)

    assert caught.value.where == str(file)
    assert said in caught.value.what
    assert caught.value.next_step is not None


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("models:\n  m:\n    input: 1:30\n    output: 1", 3, "1:30 without quotes is a number to base 60"),
        ("models:\n  m:\n    input: 010\n    output: 1", 3, "010 without quotes is an octal"),
        ("models:\n  m:\n    input: 1_0\n    output: 1", 3, "1_0 without quotes is a number to some"),
        ("models: {m: {input: .nan, output: 1}}", 1, ".nan without quotes"),
        ("models: {m: {input: yes, output: 1}}", 1, "yes without quotes"),
        ("models:\n  yes: {input: 1, output: 1}", 2, "yes without quotes"),
        ("models:\n  m: {input: 1, output: 1}\n  m: {input: 2, output: 1}", 3, "'m' stands twice"),
        ("base: &b {input: 1, output: 1}\nmodels:\n  m: {<<: *b}", 3, "merge keys"),
        ("schema: [1}", 1, "not YAML"),
        ("[" * 3000, 1, "nested deeper"),
        ("", 1, "the file is empty"),
    ],
)
def test_an_override_file_that_two_readers_read_differently_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)

    with pytest.raises(UsageError) as caught:
        PriceTable.default(file)

    assert caught.value.where == f"{file}:{line}"
    assert said in caught.value.what
    assert caught.value.next_step is not None


def test_all_wrong_fields_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("schema: prices/1\nmodels: {a: {input: x, output: 1}, b: {output: 1}}")

    with pytest.raises(UsageError, match=r"models\.a\.input.*models\.b\.input"):
        PriceTable.default(file)


def test_missing_override_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        PriceTable.default(tmp_path / "absent.yaml")


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys; import runtime; from runtime import PriceTable; PriceTable.default().id;"
        "from runtime.testing import ScriptedModel;"
        "print(sorted({'genai_prices', 'httpx', 'httpx2', 'pydantic', 'yaml'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
