"""Training of small networks on procedural clips: clips, simulated prompts, losses, stages, the engine."""
