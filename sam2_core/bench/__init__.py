"""How fast this is, and how fast the ``transformers`` library is with the same frames and weights."""
