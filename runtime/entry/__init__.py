"""The composition root: an agent, a request, and the run that comes of them."""
