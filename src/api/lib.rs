//! GENERATED types of the AWS APIs.
