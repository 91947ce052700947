//! Feeds the audit wheels that are wrong in one way each, and expects the exact message.

mod archive;
mod cuda;
mod gates;
mod hostile;
mod libraries;
mod metadata;
mod report;
mod support;
