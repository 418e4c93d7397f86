"""HTTP recordings of agents that are not built on this runtime: record, replay, proxy."""
