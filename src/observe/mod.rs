//! Asks catalog, stores and servers what is there, in parallel, and never fails as a whole.
