-- Who changed a component's intent last, as '<subject>@<host>': before somebody else's intent is
-- overwritten, the operator is asked. Empty where nobody noted it.

PRAGMA user_version = 3;

ALTER TABLE components ADD COLUMN intent_by TEXT NOT NULL DEFAULT '';
