"""Messages: envelope, registry, codec, topics, the deciding loop and its transports."""
