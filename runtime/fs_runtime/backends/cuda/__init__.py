"""What every backend on a GPU shares: the driver's calls, memory, streams, noise made there, the order of it all."""
