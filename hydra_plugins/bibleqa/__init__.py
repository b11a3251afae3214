"""What this project adds to Hydra: how sweeps are laid out, and where their jobs run."""
