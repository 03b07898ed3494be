//! GENERATED types of the AWS APIs: requests, responses, errors and operation markers, one module a service.
//!
//! Never edited: change `api-models/<service>/operations.toml` or `patches.json` and run `cargo xtask codegen`.
//! Shapes know no protocol; every member is optional, because only the service knows what its absence means.

pub mod cloudwatch;
pub mod codedeploy;
pub mod ec2;
pub mod ecr;
pub mod ecr_public;
pub mod ecs;
pub mod efs;
pub mod events;
pub mod iam;
pub mod logs;
pub mod s3;
pub mod scheduler;
pub mod secretsmanager;
pub mod ssm;
pub mod sts;
