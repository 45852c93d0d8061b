"""HTTP: controllers that translate between requests and the domain, the store and the jobs."""
