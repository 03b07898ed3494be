//! An emulator in process, for tests.
