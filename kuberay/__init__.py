"""Manifests and a thin client for KubeRay. Empty until the first deployment there: nothing in it would be tried."""
