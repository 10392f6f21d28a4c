//! Floor 5: the only code that asks the system for anything.

pub mod logging;
