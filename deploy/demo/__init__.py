"""`make demo`: the whole main job told as a story against a running stack, checked as it goes."""
