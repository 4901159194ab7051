-- What each kind of finding means, and what to do next.
SELECT k.kind, k.meaning, k.next_step FROM finding_kinds k
