//! Amazon sts: its operations.
