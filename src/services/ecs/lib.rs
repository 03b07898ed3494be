//! Amazon ecs: its operations.
