"""Objects of Gateway API (`gateway.networking.k8s.io/v1`) that policies name: which requests they take."""
