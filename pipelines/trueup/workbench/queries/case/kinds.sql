-- The meaning of each kind of finding, and what an analyst does next.
SELECT k.kind, k.meaning, k.next_step FROM finding_kinds k
