"""Redaction: secrets become pseudonyms before anything is hashed or written; `redactor` is the door of this room."""
