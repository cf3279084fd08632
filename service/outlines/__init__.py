"""What experts drew, in versions; read and written in processes of their own."""
