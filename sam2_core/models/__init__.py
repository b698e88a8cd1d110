"""The SAM 2 network: tensors in, tensors out; it knows no videos and keeps no state between calls.

Import from the submodules; this package loads no torch by itself (``config`` and ``registry`` need none).
"""
