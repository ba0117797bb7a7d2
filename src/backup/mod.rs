//! One backup execution: engine to artifact to store, manifest last.
