// Times the page of examples/web in a browser. Arguments: the folder node_modules, Chromium, the page's folder.
import { existsSync } from "node:fs";
import { browser, serve } from "../tests/runtimes/serve.mjs";

const ROUNDS = 7;
const [modules, chromium, web] = process.argv.slice(2);
const { server, address } = await serve({ web });
const opened = await browser(modules, chromium);
const page = await opened.newPage();
await page.addInitScript(() => { window.seen = 0; addEventListener("explained", () => window.seen++); });

const explained = (count) => page.waitForFunction((n) => window.seen >= n, count, { timeout: 120000, polling: 20 });

async function timed(name, photo) {
  const times = [];
  for (let i = 0; i < ROUNDS; i++) {
    const seen = await page.evaluate(() => window.seen);
    await page.setInputFiles("#photo", photo);
    await explained(seen + 1);
    times.push(Number(/ in ([\d.]+) s/.exec(await page.textContent("#status"))[1]));
  }
  times.sort((a, b) => a - b);
  return `${name}: ${times[ROUNDS >> 1]} s (${times[0]} to ${times.at(-1)})`;
}

await page.goto(`${address}/web/index.html`);
await explained(1);
const found = [await timed("the bundled model with SmoothGrad of 50 samples", `${web}/example.png`)];
if (existsSync(`${web}/squeezenet.onnx`)) {
  await page.setInputFiles("#model", `${web}/squeezenet.onnx`);
  await explained(ROUNDS + 2);
  found.push(await timed("SqueezeNet with Grad-CAM++", `${web}/photo.jpg`));
}
console.log(`From the drop of a photograph to its picture, Chromium ${opened.version()}, WebAssembly on one thread: ${found.join("; ")}.`);
await opened.close();
server.close();
