"""An on-call agent: reads metrics, logs and deploys, probes hosts, rolls back with approval."""

from examples.oncall.agent import build

__all__ = ["build"]
