"""Recorded HTTP traffic of any agent becomes traces: layouts, endpoints, conversations."""
