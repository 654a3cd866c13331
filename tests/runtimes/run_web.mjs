// Runs compiled models in onnxruntime-web (WebAssembly) in a real browser.
// Arguments: the folder node_modules, Chromium, a folder with jobs.json and feed.f32.
import { readFileSync, writeFileSync } from "node:fs";
import { browser, serve } from "./serve.mjs";

const [modules, chromium, folder] = process.argv.slice(2);
const { models, shape } = JSON.parse(readFileSync(`${folder}/jobs.json`, "utf8"));
writeFileSync(`${folder}/index.html`, "<!doctype html><title>models</title>");
const { server, address } = await serve({ ort: `${modules}/onnxruntime-web/dist`, jobs: folder });
const opened = await browser(modules, chromium);
const { version } = JSON.parse(readFileSync(`${modules}/onnxruntime-web/package.json`, "utf8"));
writeFileSync(`${folder}/version`, `onnxruntime-web ${version}, Chromium ${opened.version()}`);
const page = await opened.newPage();
await page.goto(`${address}/jobs/index.html`);
for (const name of models) {
  const found = await page.evaluate(async ([name, shape]) => {
    try {
      const ort = await import("/ort/ort.wasm.min.mjs");
      ort.env.wasm.numThreads = 1;
      const feed = new Float32Array(await (await fetch("/jobs/feed.f32")).arrayBuffer());
      const session = await ort.InferenceSession.create(`/jobs/${name}.onnx`, { executionProviders: ["wasm"] });
      const { saliency } = await session.run({ picture: new ort.Tensor("float32", feed, shape) });
      const bytes = new Uint8Array(saliency.data.buffer, saliency.data.byteOffset, saliency.data.byteLength);
      let text = "";
      for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
      return { data: btoa(text) };
    } catch (error) {
      return { error: String(error) };
    }
  }, [name, shape]);
  if (found.error) writeFileSync(`${folder}/${name}.error`, found.error);
  else writeFileSync(`${folder}/${name}.f32`, Buffer.from(found.data, "base64"));
}
await opened.close();
server.close();
