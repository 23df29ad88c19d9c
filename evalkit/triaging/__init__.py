"""What is wrong with recorded traces: signals, their rates, and the problems they make up."""
