"""The flow of a run: step loop, model step, tool step. Pure; effects go out, outcomes come in."""
