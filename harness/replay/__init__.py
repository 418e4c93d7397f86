"""Replay recorded runs: dictionary look-ups by lane and key, and divergences that say their cause."""
