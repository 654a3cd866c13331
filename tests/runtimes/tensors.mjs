// What a compiled model is fed, out of the bytes that NumPy wrote.

const KINDS = { float32: Float32Array, float16: Uint16Array, uint8: Uint8Array, bool: Uint8Array, int64: BigInt64Array };

/** Returns tensors by name; `bytes` gives what is in the file of the n-th. */
export async function tensors(ort, feeds, bytes) {
  const found = {};
  for (const [n, [name, [type, shape]]] of Object.entries(feeds).entries()) {
    const held = Uint8Array.from(new Uint8Array(await bytes(n)));
    found[name] = new ort.Tensor(type, new KINDS[type](held.buffer), shape);
  }
  return found;
}
