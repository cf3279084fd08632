"""The slides that a server has: known by ids, shown as tiles."""
