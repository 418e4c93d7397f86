"""The guarded performer, one job a file: admission, claims, approvals through the store, writes in doubt."""
