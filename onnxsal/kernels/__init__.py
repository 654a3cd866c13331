"""Arrays in, arrays out, for batches; import the module you need, so that numba loads only with the fused kernels."""
