"""Builds a kustomization as `kubectl kustomize` does, for the features that ours use.

Those are: resources, patches by kind and name, images, replicas, namespace. Any other key fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
KNOWN = {"apiVersion", "kind", "namespace", "resources", "images", "replicas", "patches"}
WITHOUT_NAMESPACE = {"Namespace"}


def build(folder: Path) -> list[Manifest]:
    """Return the manifests of a kustomization; raises AssertionError for what it cannot do."""
    told = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set(told) <= KNOWN, set(told) - KNOWN
    manifests: list[Manifest] = []
    for name in told["resources"]:
        place = folder / name
        manifests += build(place) if place.is_dir() else list(documents(place))
    for patch in told.get("patches", []):
        assert set(patch) == {"path"}
        for change in documents(folder / patch["path"]):
            (target,) = (each for each in manifests if identity(each) == identity(change))
            target.update(merged(target, change))
    for manifest in manifests:
        for each in told.get("replicas", []):
            if (manifest["kind"], manifest["metadata"]["name"]) == ("Deployment", each["name"]):
                manifest["spec"]["replicas"] = each["count"]
        for container in containers(manifest):
            for image in told.get("images", []):
                if container["image"].split(":")[0] == image["name"]:
                    name = image.get("newName", image["name"])
                    container["image"] = f"{name}:{image['newTag']}"
        if "namespace" in told and manifest["kind"] not in WITHOUT_NAMESPACE:
            manifest["metadata"]["namespace"] = told["namespace"]
    identities = [identity(each) for each in manifests]
    assert len(identities) == len(set(identities))
    return manifests


def documents(path: Path) -> Iterator[Manifest]:
    """Return the manifests of a file, none sharing a part with another."""
    for each in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        # An alias is one object in two places; built manifests are changed in one.
        yield yaml.safe_load(yaml.dump(each, Dumper=_WithoutAliases))


class _WithoutAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def identity(manifest: Manifest) -> tuple[str, str, str]:
    """Return what tells a manifest from others."""
    return manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]


def merged(old: Any, new: Any) -> Any:
    """Return *old* with what a strategic merge patch changes."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {
            **old,
            **{key: merged(old[key], text) if key in old else text for key, text in new.items()},
        }
    if _named(old) and _named(new):
        changes = {each["name"]: each for each in new}
        kept = [merged(each, changes.pop(each["name"], {})) for each in old]
        return [*changes.values(), *kept]
    return deepcopy(new)


def _named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, dict) and "name" in v for v in value)


def containers(manifest: Manifest) -> Iterable[Manifest]:
    """Return the containers of a manifest that makes pods."""
    template = manifest.get("spec", {}).get("template", {})
    return template.get("spec", {}).get("containers", []) if "metadata" in template else []
