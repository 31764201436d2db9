"""How the platform is run: the local stack, the container image and their configuration."""
