//! When something recurs: the `rate`, `cron` and `at` expressions of EventBridge. Knows no service and reads no clock.

mod cron;
mod expression;
mod zone;

pub use cron::{Cron, CronError};
pub use expression::{Dialect, Expression, ExpressionError};
pub use zone::Zone;
