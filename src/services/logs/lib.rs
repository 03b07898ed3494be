//! Amazon logs: its operations.
