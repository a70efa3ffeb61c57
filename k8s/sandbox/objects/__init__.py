"""The objects: kinds, types, defaults, checks, patches, rights, and where they are kept."""
