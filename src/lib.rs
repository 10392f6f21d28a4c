//! joblight: live progress of batch jobs in every browser that watches, from one small process.

pub mod base;
pub mod cli;
pub mod config;
pub mod shell;
pub mod wire;
