"""What a deploy changes."""

ORDER_FIELD = "order_id"
"""Name of the order number in the schema of `order.lookup`."""

CARRIER_ATTEMPTS = 2
"""How often a carrier that does not answer is asked."""
