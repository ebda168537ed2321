"""Clinical evaluation: what a reader of a clinical study asks of predictions, from discrimination to net benefit."""
