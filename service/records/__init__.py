"""What must survive a restart: keys, slides, outlines, jobs, in SQLite or PostgreSQL."""
