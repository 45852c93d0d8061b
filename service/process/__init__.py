"""What every process needs: the embedded store, the server, startup, shutdown, logs."""
