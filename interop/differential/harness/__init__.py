"""Plays scripted AMQP 0-9-1 scenarios against two brokers and compares what comes back."""
