"""The settings that a deploy changes."""

ORDER_FIELD = "order_id"
"""Name of the order number in the schema of `order.lookup`."""

CARRIER_ATTEMPTS = 2
"""Attempts to reach a carrier that does not answer."""
