"""What the five agents have in common: the claim domain and the few durable helpers."""
