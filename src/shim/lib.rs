//! The child process that runs one container through libcontainer.
