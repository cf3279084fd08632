"""Jobs: their records, and the one who sees each through to its end."""
