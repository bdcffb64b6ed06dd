-- When an incident was closed, as a whole moment: what is too old to keep is not told by a wall clock
-- that jumps.

PRAGMA user_version = 5;

-- NULL where it was closed before this release: then the wall clock is all there is.
ALTER TABLE incidents ADD COLUMN closed_boot_ms INTEGER;
ALTER TABLE incidents ADD COLUMN closed_boot_id TEXT;
