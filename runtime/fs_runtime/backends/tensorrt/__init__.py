"""TensorRT and TensorRT-RTX: plans that ``fs-export build`` added to a bundle."""
