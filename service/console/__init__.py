"""The organization console, a page that calls the API."""
