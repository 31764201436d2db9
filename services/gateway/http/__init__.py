"""The partner contract over HTTP: aiohttp in, use cases called, problem documents out."""
