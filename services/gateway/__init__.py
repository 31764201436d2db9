"""The gateway: who may call, quotes, and the partner contract over HTTP."""
