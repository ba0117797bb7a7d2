//! Plans, reports, status and diagnostics to text and JSON strings. Pure: it never prints.
