"""Turn recorded HTTP traffic of any agent into traces: read layouts, recognise endpoints, thread conversations."""
