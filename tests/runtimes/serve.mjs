// A file server for a browser under test, and the browser: folders by the first part of the path.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";

const TYPES = { ".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript", ".css": "text/css",
  ".wasm": "application/wasm", ".json": "application/json", ".png": "image/png" };

export async function serve(folders) {
  const server = createServer((request, response) => {
    const [, first, ...rest] = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname)).split("/");
    const file = folders[first] === undefined ? "" : join(folders[first], ...rest);
    if (!file || !existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return { server, address: `http://127.0.0.1:${server.address().port}` };
}

export async function browser(modules, executablePath) {
  const { chromium } = createRequire(`${modules}/`)("playwright-core");
  const args = (process.env.ONNXSAL_BROWSER_FLAGS ?? "").split(" ").filter(Boolean);
  return chromium.launch({ executablePath, headless: true, args });
}
