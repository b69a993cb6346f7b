"""Parts that policies share: ledger, replay loop, queues and size model."""
