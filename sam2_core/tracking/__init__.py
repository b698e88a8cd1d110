"""Tracking: who remembers what, for how long, and in which order frames are computed."""
