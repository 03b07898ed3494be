//! The list of the services.
