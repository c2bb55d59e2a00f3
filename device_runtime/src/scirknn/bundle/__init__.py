"""A converted model on disk: its files, its metadata, and what they hold."""

from scirknn.bundle.contents import PARTS, Affine, Bundle, Owner, Variant, apply_affine, metadata_path
from scirknn.bundle.files import bundle_files, file_of_another, read_bundle, write_bundle
from scirknn.bundle.metadata import FORMAT

__all__ = [
    "FORMAT",
    "PARTS",
    "Affine",
    "Bundle",
    "Owner",
    "Variant",
    "apply_affine",
    "bundle_files",
    "file_of_another",
    "metadata_path",
    "read_bundle",
    "write_bundle",
]
