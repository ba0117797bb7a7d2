//! Facts about the protected servers: version, tenants, sizes, clock. Reads only.
