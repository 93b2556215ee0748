//! Images built without a daemon: sources, steps in sandboxes, layers, a cache by content.
