//! Executes an approved plan: claims, effects, retries, report. It decides nothing.
