"""Slides decoded for the viewer, in processes that see that slide alone."""
