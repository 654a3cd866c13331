// What a compiled model is fed, out of the bytes that NumPy wrote.

const KINDS = { float32: Float32Array, float16: Uint16Array, uint8: Uint8Array, int64: BigInt64Array };

/** Returns tensors by name; `bytes` gives what is in the file of one. */
export async function tensors(ort, feeds, bytes) {
  const found = {};
  for (const [name, [type, shape]] of Object.entries(feeds)) {
    const held = Uint8Array.from(new Uint8Array(await bytes(name)));
    found[name] = new ort.Tensor(type, new KINDS[type](held.buffer), shape);
  }
  return found;
}
