"""Models: the live adapters over HTTP, and what calls cost."""
