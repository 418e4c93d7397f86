"""Values and the seam: what a run is made of, without clock, random, network or file."""
