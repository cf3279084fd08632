"""HTTP: who may, what is refused and how, what is counted."""
