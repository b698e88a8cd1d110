"""Training of the small networks on procedural clips: clips, simulated prompts, losses, stages, the engine."""
