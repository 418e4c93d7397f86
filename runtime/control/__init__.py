"""Pure verdicts: facts in, verdict out; no clock, no store."""
