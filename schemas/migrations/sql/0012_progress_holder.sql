-- Whose partition it is: a router that was frozen before its transaction, and wakes when another one has settled its batch, must
-- not settle it once more under a newer configuration. Null: a release before this one worked on it last.
ALTER TABLE router_progress ADD COLUMN holder UUID;
