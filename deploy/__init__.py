"""Beyond one machine: a cluster, the checks as a service, the image and the manifests."""
