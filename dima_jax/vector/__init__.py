"""Vector mode: a student that is told what stands around it instead of seeing it (docs/evidence.md#vector-mode)."""
