"""Where policies come from: sources, what they hold, and how it becomes the snapshot that decides."""
