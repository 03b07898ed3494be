//! What containers are started with.

use super::*;
