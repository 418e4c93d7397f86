"""Changes that no task may be red for."""

from __future__ import annotations

from tests.code_changes.change import green, oncall, support

QUIET = [
    green(
        support("name of the agent", ("agent", 'name="support"', 'name="helpdesk"')), "no request holds it"
    ),
    green(
        support("version of the agent", ("agent", 'version="1.0.0"', 'version="1.0.1"')),
        "no request holds it",
    ),
    green(
        oncall("version of the agent", ("agent", 'version="1.0.0"', 'version="2.0.0"')), "no request holds it"
    ),
    green(support("a comment", ("agent", '"""Return the agent.', '"""Return an agent.')), "no code changed"),
    green(
        support(
            "name of a function",
            ("tools", "async def search_articles(", "async def find_articles("),
            (
                "tools",
                "return search_articles, look_up_order, track_parcel",
                "return find_articles, look_up_order, track_parcel",
            ),
        ),
        "the tool has a name of its own",
    ),
    green(
        support(
            "return type of a tool",
            ("tools", "limit: int = 2) -> list[Article]:", "limit: int = 2) -> object:"),
        ),
        "the model is not sent it",
    ),
    green(
        support(
            "parameters in another order of keys", ("agent", '{"temperature": 0}', "dict(temperature=0)")
        ),
        "equal",
    ),
    green(
        support("body: a search result", ("world", 'title="Late parcels"', 'title="Slow parcels"')),
        "tools are answered from the cassette",
    ),
    green(
        support(
            "body: a refund above the price",
            ("tools", "if not 0 < amount_cents <= order.paid_cents:", "if amount_cents <= 0:"),
        ),
        "tools are answered from the cassette",
    ),
    green(
        support("body: an error text", ("tools", "the carrier answers 503", "carrier down")),
        "tools are answered from the cassette",
    ),
    green(
        oncall("body: a healthy service", ("world", '"p99_ms": 180.0', '"p99_ms": 900.0')),
        "tools are answered from the cassette",
    ),
]
