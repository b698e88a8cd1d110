"""How good masks are against ground truth, as the field measures it."""
