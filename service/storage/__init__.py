"""Redis: commands, keys, connections, scripts. ``README.md`` draws the keys and a lease's life."""
