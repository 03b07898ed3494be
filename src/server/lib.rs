//! The neargate server: listeners, wiring, command line.
