"""Confidence bounds for a probability or a mean, each valid at its level whatever the distribution."""
