"""Example agents whose golden tasks show each part of goldrun."""
