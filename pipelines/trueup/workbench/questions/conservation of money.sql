-- Expected - billed = impact + tolerated + pending. The column difference_micros must be 0.
SELECT * FROM conservation WHERE difference_micros <> 0
