"""Answers from documents, with sources. Empty so far: KubeChat answers from the cluster only."""
