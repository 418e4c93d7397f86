"""What outlives a step: the control stores (one SQLite file, or memory) and the state that tools and runs keep."""
