"""The dashboard over all runs of a folder: `ftgate view`, served on this machine or written as files."""
