//! What the emulator knows: the records of every service as plain data, the tables that hold them, the journal behind.
//!
//! Handlers write what is wanted, controllers write what they observe; a field has one writer. Nothing here does I/O
//! but the journal and the stores of S3's objects and ECR's layers, and nothing knows a protocol. A record that a client sees is shaped by its service's `view`.

pub mod cloudwatch;
pub mod codedeploy;
mod cx;
mod document;
pub mod ec2;
pub mod ecr;
pub mod ecs;
pub mod efs;
pub mod events;
mod folder;
pub mod iam;
mod journal;
pub mod logs;
mod order;
mod record;
pub mod s3;
pub mod scheduler;
pub mod secretsmanager;
pub mod ssm;
mod table;
mod wildcard;

use std::path::Path;
use std::sync::Arc;

pub use cx::Cx;
pub use document::Document;
pub use journal::JournalError;
pub use order::Label;
pub use record::{MigrationError, Record, Tag};
pub use table::{Key, Table};
pub use wildcard::matches_wildcard;

use journal::Journal;

/// Every table of every service. One per process, shared.
#[derive(Debug)]
pub struct State {
    /// Amazon ECS.
    pub ecs: ecs::Ecs,
    /// AWS CodeDeploy.
    pub codedeploy: codedeploy::CodeDeploy,
    /// Amazon EC2: VPCs and what lies in them.
    pub ec2: ec2::Ec2,
    /// Amazon ECR.
    pub ecr: ecr::Ecr,
    /// Amazon EFS.
    pub efs: efs::Efs,
    /// Amazon EventBridge.
    pub events: events::EventBridge,
    /// Amazon EventBridge Scheduler.
    pub scheduler: scheduler::Scheduler,
    /// CloudWatch.
    pub cloudwatch: cloudwatch::CloudWatch,
    /// CloudWatch Logs.
    pub logs: logs::Logs,
    /// AWS IAM, and the sessions of AWS STS.
    pub iam: iam::Iam,
    /// Amazon S3.
    pub s3: s3::S3,
    /// AWS Secrets Manager.
    pub secretsmanager: secretsmanager::SecretsManager,
    /// AWS Systems Manager: Parameter Store.
    pub ssm: ssm::Ssm,
    journal: Option<Arc<Journal>>,
}

/// A moment in the history of the state; see [`State::moment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl State {
    /// Makes an empty state that lives in memory alone.
    pub fn in_memory() -> Arc<Self> {
        Arc::new(Self::with_journal(None))
    }

    /// Opens the state kept in the file `path`, making it if it is missing, and keeps it there from now on. The bytes of
    /// objects are in the folder `objects` beside it, those of layers and manifests in `ecr`.
    pub fn open(path: &Path) -> Result<Arc<Self>, JournalError> {
        let journal = Arc::new(Journal::open(path)?);
        let mut state = Self::with_journal(Some(&journal));
        // First: changes of tasks ask the rules.
        state.events.load(&journal)?;
        state.scheduler.load(&journal)?;
        state.ecs.load(&journal)?;
        state.codedeploy.load(&journal)?;
        state.ec2.load(&journal)?;
        state.ecr.load(&journal, path.with_file_name("ecr"))?;
        state.efs.load(&journal)?;
        state.cloudwatch.load(&journal)?;
        state.logs.load(&journal)?;
        state.iam.load(&journal)?;
        state.s3.load(&journal, path.with_file_name("objects"))?;
        state.secretsmanager.load(&journal)?;
        state.ssm.load(&journal)?;
        Ok(Arc::new(state))
    }

    fn with_journal(journal: Option<&Arc<Journal>>) -> Self {
        let events = events::EventBridge::new(journal);
        Self {
            ecs: ecs::Ecs::new(journal, Arc::clone(&events.rules)),
            codedeploy: codedeploy::CodeDeploy::new(journal),
            ec2: ec2::Ec2::new(journal),
            ecr: ecr::Ecr::new(journal),
            efs: efs::Efs::new(journal),
            events,
            scheduler: scheduler::Scheduler::new(journal),
            cloudwatch: cloudwatch::CloudWatch::new(journal),
            logs: logs::Logs::new(journal),
            iam: iam::Iam::new(journal),
            s3: s3::S3::new(journal),
            secretsmanager: secretsmanager::SecretsManager::new(journal),
            ssm: ssm::Ssm::new(journal),
            journal: journal.cloned(),
        }
    }

    /// Removes every row of every table. Running tasks must have been taken off the node before.
    pub fn clear(&self) {
        // First: no rule and no schedule is to start anything anew.
        self.scheduler.clear();
        self.events.clear();
        self.ecs.clear();
        self.codedeploy.clear();
        self.ec2.clear();
        self.ecr.clear();
        self.efs.clear();
        self.cloudwatch.clear();
        self.logs.clear();
        self.iam.clear();
        self.s3.clear();
        self.secretsmanager.clear();
        self.ssm.clear();
    }

    /// Makes changes that the journal keeps together or not at all: `change` must be short, and must not wait.
    pub fn together<T>(&self, change: impl FnOnce() -> T) -> T {
        let _held = self.journal.as_ref().map(|journal| journal.hold());
        change()
    }

    /// Returns the present moment, to be asked about with [`State::is_kept`].
    pub fn moment(&self) -> Moment {
        Moment(self.journal.as_ref().map_or(0, |journal| journal.submitted()))
    }

    /// Returns whether the changes before a moment would survive the process, as far as they ever will: without a journal
    /// nothing survives it, and there is nothing to wait for.
    pub fn is_kept(&self, moment: Moment) -> bool {
        self.journal.as_ref().is_none_or(|journal| journal.has_written(moment.0))
    }

    /// Waits until everything changed so far is in the journal's file. Without a journal there is nothing to wait for.
    pub fn flush(&self) -> Result<(), JournalError> {
        self.journal.as_ref().map_or(Ok(()), |journal| journal.flush())
    }
}
