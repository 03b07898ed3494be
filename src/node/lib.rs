//! The traits of a node.
