"""A declarative experiment runner for Bible question answering."""
