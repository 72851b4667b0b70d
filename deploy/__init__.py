"""Past one machine: the cluster, the image, and the manifests."""
