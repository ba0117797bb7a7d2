//! Object stores: S3, a local folder, memory; the object layout; manifests in and out.
