"""Litestar plumbing: request bodies, problems, the access log, OpenAPI, static files."""
