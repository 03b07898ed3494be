//! A node without a machine.
