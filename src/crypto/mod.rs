//! age streams, keys and signatures. Knows nothing of where the bytes come from or go to.
