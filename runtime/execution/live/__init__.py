"""The live performer, one job a file: models, tools, calls that were abandoned, child runs, approvals at a desk."""
