"""The claims of feature-space smoothing, measured."""
