//! The runtime of the Fargate node: spawns shims, supervises and re-adopts them.
