"""Kubernetes: kustomize base and overlays; what code knows already is generated from it."""
