//! Controllers make it so: they read what is wanted and drive the node towards it.
