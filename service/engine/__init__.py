"""Where attempts at jobs run: child processes of Dask workers, which may die."""
