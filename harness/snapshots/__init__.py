"""What tests of agents compare with and hold still: snapshots of traces, and a clock that stands."""
