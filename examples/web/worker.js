// Runs the model beside the page, so that the page stays awake.
import * as ort from "./ort/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
let session = null;

const ACTIONS = {
  async open({ bytes }) {
    const opened = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 3 });
    await session?.release();
    session = opened;
    return { inputs: session.inputNames };
  },
  async run({ name, values, shape, explain, target, box, outputs }) {
    const feeds = { [name]: new ort.Tensor(values instanceof Uint8Array ? "uint8" : "float32", values, shape) };
    if (session.inputNames.includes("explain")) feeds.explain = new ort.Tensor("bool", [explain], []);
    if (session.inputNames.includes("target")) feeds.target = new ort.Tensor("int64", [BigInt(target)], [1]);
    if (session.inputNames.includes("box")) feeds.box = new ort.Tensor("float32", Float32Array.from(box), [1, 4]);
    const found = await session.run(feeds, outputs);
    return Object.fromEntries(outputs.map((each) => [each, { data: plain(found[each]), dims: found[each].dims }]));
  },
};

function plain({ type, data }) {
  return type === "float16" && data instanceof Uint16Array ? Float32Array.from(data, half) : data;
}

function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, power = (bits >> 10) & 31, rest = bits & 1023;
  if (power === 31) return rest ? NaN : sign * Infinity;
  return sign * (power ? 2 ** (power - 15) * (1 + rest / 1024) : 2 ** -14 * rest / 1024);
}

onmessage = async ({ data: { id, action, ...given } }) => {
  try {
    postMessage({ id, found: await ACTIONS[action](given) });
  } catch (error) {
    postMessage({ id, error: String(error?.message ?? error) });
  }
};
