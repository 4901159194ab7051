"""Investigation: root causes as cases, evidence, and what changed or would change."""
