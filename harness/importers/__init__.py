"""Importers: foreign run logs become cassettes and segments."""
