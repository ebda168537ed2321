"""The audit trail: what was done to a run's model, in lines that hang on one another."""
