//! Manifest, environments, releases, gates, rollout planner: pure.
