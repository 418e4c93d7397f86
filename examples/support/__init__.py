"""A support agent of a small shop: finds orders, tracks parcels, opens tickets, refunds with approval."""

from examples.support.agent import build

__all__ = ["build"]
