//! `plan(desired, observed, now) -> Plan`: the difference between the policies and the world. Pure and total.
