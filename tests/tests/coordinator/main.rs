//! The coordinator: without Kubernetes over a list of nodes, and with an API server alone.

mod access;
mod calls;
mod fixed;
mod owners;
mod scene;
mod status;
mod writing;
