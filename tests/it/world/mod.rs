//! What tests stand on: private PostgreSQL clusters, S3 servers, hermetic runs of the binary, builders.

pub mod asked;
pub mod cluster;
pub mod freezing;
pub mod gate;
pub mod github;
pub mod model;
pub mod moto;
pub mod place;
pub mod rclone;
pub mod run;
pub mod s3;
pub mod serving;
pub mod setup;
pub mod toll;
pub mod wire;
