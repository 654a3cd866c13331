// Runs compiled models in onnxruntime-node. Arguments: the folder node_modules, a folder with jobs.json and what is fed.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tensors } from "./tensors.mjs";

const [modules, folder] = process.argv.slice(2);
const load = createRequire(`${modules}/`);
const ort = load("onnxruntime-node");
const { version } = JSON.parse(readFileSync(`${modules}/onnxruntime-node/package.json`, "utf8"));
writeFileSync(`${folder}/version`, `onnxruntime-node ${version}, Node ${process.versions.node}`);
for (const [name, { feeds, outputs }] of Object.entries(JSON.parse(readFileSync(`${folder}/jobs.json`, "utf8")))) {
  try {
    const session = await ort.InferenceSession.create(`${folder}/${name}.onnx`, { logSeverityLevel: 3 });
    const found = await session.run(await tensors(ort, feeds, (n) => readFileSync(`${folder}/${name}.${n}.in`)), outputs);
    for (const [i, output] of outputs.entries()) {
      const { data } = found[output];
      writeFileSync(`${folder}/${name}.${i}.out`, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    }
  } catch (error) {
    writeFileSync(`${folder}/${name}.error`, String(error));
  }
}
