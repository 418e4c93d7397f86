"""Changes of the tools that the model is sent."""

from __future__ import annotations

from tests.code_changes.change import oncall, support

SEARCH = "async def search_articles(q: str, limit: int = 2) -> list[Article]:"

REFUND = "order_id: str, amount_cents: int, reason: str, ctx: ToolContext"

COUNT_TOOL = '''
    @tool(name="order.count")
    async def count_orders() -> int:
        """Return how many orders there are."""
        return len(world.orders)

    return count_orders, search_articles, look_up_order, track_parcel
'''

COUNT_TOOL_LAST = COUNT_TOOL.replace(
    "count_orders, search_articles, look_up_order, track_parcel",
    "search_articles, look_up_order, track_parcel, count_orders",
)

RETURN = "    return search_articles, look_up_order, track_parcel\n"

SCHEMAS = [
    support(
        "description of a tool",
        ("tools", "Search the help articles;", "Find help articles;"),
        cause="tool schema",
        line="kb.search description",
    ),
    support(
        "a parameter is renamed",
        ("tools", SEARCH, SEARCH.replace("q: str", "query: str")),
        ("tools", "world.search(q, limit)", "world.search(query, limit)"),
        cause="tool schema",
        line="kb.search: parameter q renamed to query",
    ),
    support(
        "a default",
        ("tools", "limit: int = 2", "limit: int = 3"),
        cause="tool schema",
        line="kb.search.limit default 2 -> 3",
    ),
    support(
        "a type",
        ("tools", "q: str, limit: int = 2", "q: str, limit: float = 2"),
        cause="tool schema",
        line="kb.search.limit type",
    ),
    support(
        "an optional parameter becomes required",
        ("tools", "limit: int = 2", "limit: int"),
        cause="tool schema",
        line="kb.search.limit default 2 -> nothing",
    ),
    support(
        "a parameter is added",
        ("tools", "limit: int = 2", 'limit: int = 2, lang: str = "en"'),
        cause="tool schema",
        line="kb.search: parameter lang added",
    ),
    support(
        "a required parameter is added",
        ("tools", REFUND, "order_id: str, amount_cents: int, reason: str, sure: bool, ctx: ToolContext"),
        cause="tool schema",
        line="refund.create: parameter sure added",
    ),
    support(
        "a parameter is taken out",
        ("tools", SEARCH, SEARCH.replace(", limit: int = 2", "")),
        ("tools", "world.search(q, limit)", "world.search(q, 2)"),
        cause="tool schema",
        line="kb.search: parameter limit removed",
    ),
    support(
        "two parameters swapped",
        ("tools", REFUND, "order_id: str, reason: str, amount_cents: int, ctx: ToolContext"),
        cause="tool schema",
        line="refund.create: parameters in another order",
    ),
    support(
        "a tool is added at the end",
        ("tools", RETURN, COUNT_TOOL_LAST),
        cause="tool schema",
        line="tool order.count added",
    ),
    support(
        "a tool is added in front",
        ("tools", RETURN, COUNT_TOOL),
        cause="tool schema",
        line="tool order.count added",
    ),
    support(
        "a tool is taken out",
        (
            "tools",
            "return search_articles, look_up_order, track_parcel\n",
            "return look_up_order, track_parcel\n",
        ),
        cause="tool schema",
        line="tool kb.search removed",
    ),
    support(
        "tools in another order",
        ("tools", RETURN, "    return look_up_order, search_articles, track_parcel\n"),
        cause="tool schema",
        line="tools in another order",
    ),
    support(
        "a tool is renamed",
        ("tools", '"kb.search"', '"help.search"'),
        cause="tool schema",
        line="tool kb.search renamed to help.search",
    ),
    oncall(
        "a value of an enum is added",
        ("tools", '"error_rate", "queue_depth"]', '"error_rate", "queue_depth", "cpu"]'),
        cause="tool schema",
        line="metrics.query.metric",
    ),
    oncall(
        "a value of an enum is taken out",
        ("tools", '"error_rate", "queue_depth"]', '"error_rate"]'),
        cause="tool schema",
        line="metrics.query.metric",
    ),
    oncall(
        "an int becomes a text",
        ("tools", "service: str, to: int, ctx", "service: str, to: str, ctx"),
        ("tools", "if to not in numbers[1:]:", "if int(to) not in numbers[1:]:"),
        ("tools", "world.roll_back(service, to, ", "world.roll_back(service, int(to), "),
        cause="tool schema",
        line="deploy.rollback.to type",
    ),
    oncall(
        "one field is renamed",
        ("tools", "async def list_deploys(service: str)", "async def list_deploys(name: str)"),
        (
            "tools",
            "return world.deploys(_known(world, service))",
            "return world.deploys(_known(world, name))",
        ),
        cause="tool schema",
        line="deploy.list: parameter service renamed to name",
    ),
    oncall(
        "description of a tool",
        ("tools", "Run an earlier deploy of a service again.", "Roll a service back."),
        cause="tool schema",
        line="deploy.rollback description",
    ),
    oncall(
        "tools in another order",
        (
            "tools",
            "return query_metric, search_logs, list_deploys",
            "return search_logs, query_metric, list_deploys",
        ),
        cause="tool schema",
        line="tools in another order",
    ),
    oncall(
        "a tool is taken out",
        ("tools", "return query_metric, search_logs, list_deploys", "return query_metric, search_logs"),
        cause="tool schema",
        line="tool deploy.list removed",
    ),
    oncall(
        "a tool is renamed",
        ("tools", 'name="metrics.query"', 'name="metric.query"'),
        cause="tool schema",
        line="tool metrics.query renamed to metric.query",
    ),
    support(
        "no description",
        ("tools", '        """Open a ticket about an order; returns its number."""\n', ""),
        cause="tool schema",
        line="ticket.create description removed",
    ),
    support(
        "a default becomes nothing",
        ("tools", "limit: int = 2", "limit: int | None = None"),
        cause="tool schema",
        line="kb.search.limit",
    ),
    support(
        "two tools change",
        ("tools", "Search the help articles;", "Find help articles;"),
        ("tools", "Open a ticket about", "Make a ticket about"),
        cause="tool schema",
        line="; ticket.create description",
    ),
]
