"""What is exported: encoders, and the Gaussian Smoothness Booster around them."""
