-- What a question may tell of the draft and the format: an answer that rests on them is computed again from its row.
-- A constant default rewrites nothing; a CHECK would read the whole table while it is locked.
ALTER TABLE prediction_requests
    ADD COLUMN champions TEXT[] NOT NULL DEFAULT '{}',
    ADD COLUMN best_of INTEGER;
