"""Keys: whose signatures count. Key sets are judged key by key, and kept fresh in the background."""
