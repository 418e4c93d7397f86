"""Drivers and the live performer: where effects meet the world. The only wall clock is here."""
