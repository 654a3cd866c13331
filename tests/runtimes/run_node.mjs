// Runs compiled models in onnxruntime-node. Arguments: the folder node_modules, a folder with jobs.json and feed.f32.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, folder] = process.argv.slice(2);
const load = createRequire(`${modules}/`);
const ort = load("onnxruntime-node");
const { models, shape } = JSON.parse(readFileSync(`${folder}/jobs.json`, "utf8"));
const bytes = readFileSync(`${folder}/feed.f32`);
const feed = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const { version } = JSON.parse(readFileSync(`${modules}/onnxruntime-node/package.json`, "utf8"));
writeFileSync(`${folder}/version`, `onnxruntime-node ${version}, Node ${process.versions.node}`);
for (const name of models) {
  try {
    const session = await ort.InferenceSession.create(`${folder}/${name}.onnx`);
    const { saliency } = await session.run({ picture: new ort.Tensor("float32", feed, shape) });
    writeFileSync(`${folder}/${name}.f32`, Buffer.from(saliency.data.buffer, saliency.data.byteOffset, saliency.data.byteLength));
  } catch (error) {
    writeFileSync(`${folder}/${name}.error`, String(error));
  }
}
