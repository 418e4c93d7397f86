"""What tools keep and share: scratch, memory, artifacts, cached results and credentials of one tenant."""
