"""Bundles made ready to serve, and such as were tampered with."""

import json
import shutil

from ltr.bundle_manifest import digests, read_manifest, write_json


def copied(bundle, target):
    """A bundle of one's own to change."""
    return shutil.copytree(bundle, target)


def vouched(path):
    """Make bundle.json vouch for the files as they are now."""
    manifest = read_manifest(path)
    files = {part: digests(path / part) for part in ("model", "state")}
    write_json(path / "bundle.json", {**manifest, "files": files})
    return path


def of_an_engine(path):
    """The bundle as if its candidates came from a search engine, which need not be there."""
    file = path / "model" / "experiment.json"
    told = json.loads(file.read_text(encoding="utf-8"))
    told["retrieval"] |= {"engine": "elasticsearch", "url": "http://127.0.0.1:9", "index": "products"}
    write_json(file, told)
    return vouched(path)
