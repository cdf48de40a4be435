"""(doc, answers) -> scores, named by the task YAMLs. Knows one case at a time; no files, no models."""
