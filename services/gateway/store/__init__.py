"""The gateway's own tables, and other services' read views, over asyncpg."""
