"""Arrays -> estimates. Knows numbers only: no models, no files, no policy."""
