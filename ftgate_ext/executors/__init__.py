"""Where the shards of a run are asked: in this process, under accelerate, or as Ray tasks."""
