"""Slides that are sent over HTTP: their bytes, their records, and how they go."""
