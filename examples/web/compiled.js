// What a compiled file says of itself: its metadata, read from the protobuf without the weights.

const METADATA = 14, GRAPH = 7;

export class Wrong extends Error {
  constructor(title, text, command = "") {
    super(`${title} ${text} ${command}`);
    Object.assign(this, { title, text, command });
  }
}

/** Returns { explainer, labels, preprocess } of a compiled model's bytes; throws Wrong where it is none. */
export function describe(bytes, name) {
  const { properties, hasGraph } = metadata(bytes);
  if (!hasGraph) throw new Wrong(`${name} is not an ONNX model.`, "It is damaged, or another kind of file.");
  if (!properties["onnxsal.explainer"]) {
    throw new Wrong(`${name} is a model that does not explain itself.`,
      "Make one that does, and drop that here:", `onnxsal compile ${name} -t input -o explained.onnx`);
  }
  const read = (key) => properties[key] ? JSON.parse(properties[key]) : null;
  const known = { explainer: read("onnxsal.explainer"), labels: read("onnxsal.labels"), preprocess: read("onnxsal.preprocess") };
  if (!known.explainer.outputs.includes("saliency")) {
    throw new Wrong(`${name} gives no saliency.`, "Compile it with --give saliency, or leave --give out.");
  }
  const { output, outputs } = known.explainer;
  if (output.task === "detection" && !outputs.includes("detections")) {
    throw new Wrong(`${name} does not list what it detects.`, "Compile it so that it does, and takes the box that is explained:",
      `onnxsal compile … -t input@input --give saliency,detections --explain-required -o ${name}`);
  }
  if (known.explainer.target?.region === "input") {
    throw new Wrong(`${name} takes the region that it explains, and this page draws none.`, "Compile it for classes alone:",
      `onnxsal compile … -t input -o ${name}`);
  }
  if (!known.preprocess) {
    if (known.explainer.input.type !== "uint8") {
      throw new Wrong(`${name} does not say how it wants its pictures.`, "Say it when compiling, for example:",
        "onnxsal compile model.onnx -t input --preprocess imagenet -o explained.onnx");
    }
    known.preprocess = { colour: "RGB", scale: 1, mean: [0], std: [1], fit: "crop", resample: "bilinear" };
  }
  return known;
}

function metadata(bytes) {
  const properties = {}, text = new TextDecoder();
  let hasGraph = false;
  try {
    for (const [field, start, end] of fields(bytes, 0, bytes.length)) {
      hasGraph ||= field === GRAPH;
      if (field !== METADATA) continue;
      const pair = Object.fromEntries([...fields(bytes, start, end)].map(([f, a, b]) => [f, text.decode(bytes.subarray(a, b))]));
      properties[pair[1]] = pair[2];
    }
  } catch {
    hasGraph = false;
  }
  return { properties, hasGraph };
}

/** Yields [number, start, end] of the fields of a message that have a length. */
function* fields(bytes, at, end) {
  const varint = () => {
    let value = 0, scale = 1;
    for (;;) {
      if (at >= end) throw new RangeError("the message ends within a number");
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  };
  while (at < end) {
    const tag = varint(), kind = tag & 7, number = Math.floor(tag / 8);
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const length = varint();
      if (at + length > end) throw new RangeError("a field is longer than its message");
      yield [number, at, at + length];
      at += length;
    } else throw new RangeError("no such kind of field");
  }
}
