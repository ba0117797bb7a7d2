//! The byte pipe of a backup: compress, encrypt, hash, part, and back again, with bounded memory.
