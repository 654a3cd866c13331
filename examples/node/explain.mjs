// Explains a picture with a compiled model; needs onnxruntime-node. The picture is a PPM file of the model's size, which
// any converter makes and a dozen lines read.
//
//     npm install onnxruntime-node
//     onnxsal compile model.onnx --bytes-in --give drawing -o explained.onnx
//     convert photo.jpg -resize '224x224!' photo.ppm
//     node explain.mjs explained.onnx photo.ppm drawing.ppm
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const ort = createRequire(`${process.cwd()}/`)("onnxruntime-node");
const [model, photo, drawing] = process.argv.slice(2);

function readPpm(bytes) {
  const [head, width, height] = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString("latin1", 0, 64));
  return { pixels: new Uint8Array(bytes.subarray(head.length)), shape: [1, Number(height), Number(width), 3] };
}

const session = await ort.InferenceSession.create(model, { logSeverityLevel: 3 });
const { pixels, shape } = readPpm(readFileSync(photo));
const found = await session.run({ [session.inputNames[0]]: new ort.Tensor("uint8", pixels, shape) });
const scores = Array.from(found[session.outputNames[0]].data);
writeFileSync(drawing, Buffer.concat([Buffer.from(`P6\n${shape[2]} ${shape[1]}\n255\n`), found.drawing.data]));
console.log(scores.indexOf(Math.max(...scores)));
