// Runs compiled models in onnxruntime-web (WebAssembly) in a real browser.
// Arguments: the folder node_modules, Chromium, a folder with jobs.json and what is fed.
import { readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { browser, serve } from "./serve.mjs";

const [modules, chromium, folder] = process.argv.slice(2);
const jobs = JSON.parse(readFileSync(`${folder}/jobs.json`, "utf8"));
writeFileSync(`${folder}/index.html`, "<!doctype html><title>models</title>");
const here = dirname(fileURLToPath(import.meta.url));
const { server, address } = await serve({ ort: `${modules}/onnxruntime-web/dist`, jobs: folder, here });
const opened = await browser(modules, chromium);
const { version } = JSON.parse(readFileSync(`${modules}/onnxruntime-web/package.json`, "utf8"));
writeFileSync(`${folder}/version`, `onnxruntime-web ${version}, Chromium ${opened.version()}`);
const page = await opened.newPage();
await page.goto(`${address}/jobs/index.html`);
for (const [name, { feeds, outputs }] of Object.entries(jobs)) {
  const found = await page.evaluate(async ([name, feeds, outputs]) => {
    try {
      const ort = await import("/ort/ort.wasm.min.mjs"), { tensors } = await import("/here/tensors.mjs");
      ort.env.wasm.numThreads = 1;
      const given = await tensors(ort, feeds, async (n) => (await fetch(`/jobs/${name}.${n}.in`)).arrayBuffer());
      const session = await ort.InferenceSession.create(`/jobs/${name}.onnx`, { executionProviders: ["wasm"], logSeverityLevel: 3 });
      const made = await session.run(given, outputs);
      await session.release();
      return { data: outputs.map((output) => text(made[output].data)) };
    } catch (error) {
      return { error: String(error) };
    }

    function text({ buffer, byteOffset, byteLength }) {
      const bytes = new Uint8Array(buffer, byteOffset, byteLength);
      let found = "";
      for (let i = 0; i < bytes.length; i += 8192) found += String.fromCharCode(...bytes.subarray(i, i + 8192));
      return btoa(found);
    }
  }, [name, feeds, outputs]);
  if (found.error) writeFileSync(`${folder}/${name}.error`, found.error);
  else outputs.forEach((_, i) => writeFileSync(`${folder}/${name}.${i}.out`, Buffer.from(found.data[i], "base64")));
}
await opened.close();
server.close();
