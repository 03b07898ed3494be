//! Amazon ec2: its operations.
