"""The journal of a migration: writes that must reach the old collection and the new one."""
