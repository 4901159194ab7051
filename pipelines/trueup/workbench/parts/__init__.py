"""Parts that pages share: the frame, state in the URL, money, tables, charts and the decision form."""
