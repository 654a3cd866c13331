// Uses the page of examples/web as a person would, and writes down what it shows.
// Arguments: the folder node_modules, Chromium, the page's folder (with ort), a folder with the files to drop.
import { readFileSync, writeFileSync } from "node:fs";
import { browser, serve } from "./serve.mjs";

const [modules, chromium, web, files] = process.argv.slice(2);
const { server, address } = await serve({ web, files });
const opened = await browser(modules, chromium);
const context = await opened.newContext({ viewport: { width: 390, height: 800 } });
const page = await context.newPage();
const said = { elsewhere: [], failures: [], maps: {}, problems: {} };
page.on("request", (request) => {
  if (!request.url().startsWith(address) && !/^(data|blob):/.test(request.url())) said.elsewhere.push(request.url());
});
page.on("pageerror", (error) => said.failures.push(String(error)));
await page.addInitScript(() => {
  window.maps = [];
  addEventListener("explained", ({ detail: { data, height, width, target, scores, found } }) => {
    window.maps.push({ data: [...data], height, width, target, scores, found });
  });
});

async function map(name, act) {
  const before = await page.evaluate(() => window.maps?.length ?? 0);
  await act();
  await page.waitForFunction((n) => window.maps?.length > n, before, { timeout: 90000 });
  said.maps[name] = await page.evaluate(() => window.maps.at(-1));
}

async function problem(name, id, file) {
  const dismiss = page.locator("#dismiss");
  if (await dismiss.isVisible()) await dismiss.press("Enter");
  await page.setInputFiles(id, file);
  await page.locator("#problem").waitFor({ timeout: 30000 });
  said.problems[name] = await page.locator("#problem").innerText();
}

async function drop(names) {
  const given = names.map((name) => ({ name, text: readFileSync(`${files}/${name}`).toString("base64") }));
  await page.evaluate((given) => {
    const transfer = new DataTransfer();
    for (const { name, text } of given) {
      transfer.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
    }
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }, given);
}

/** Returns what the boxes say, which is chosen, and where they lie in the picture, in shares of it. */
const boxes = () => page.evaluate(() => {
  const whole = document.getElementById("canvas").getBoundingClientRect();
  return [...document.querySelectorAll(".box")].map((box) => {
    const { left, top, right, bottom } = box.getBoundingClientRect();
    return { text: box.innerText, chosen: box.ariaPressed === "true",
      sides: [(left - whole.left) / whole.width, (top - whole.top) / whole.height, (right - whole.left) / whole.width, (bottom - whole.top) / whole.height] };
  });
});

await map("start", () => page.goto(`${address}/web/index.html`));
said.classes = await page.locator("#classes").innerText();
said.overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
await map("key", async () => {
  await page.locator("#classes input:checked").focus();
  await page.keyboard.press("ArrowDown");
});
await problem("text", "#photo", { name: "notes.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
await problem("plain", "#model", `${files}/plain.onnx`);
await problem("damaged", "#model", { name: "damaged.onnx", mimeType: "", buffer: Buffer.from("no model at all") });
await problem("broken", "#model", `${files}/broken.onnx`);
await map("dropped", () => drop(["bytes.onnx", "wide.png"]));
said.note = await page.locator("#classes-note").innerText();
said.status = await page.locator("#status").innerText();
await problem("unlisted", "#model", `${files}/unlisted.onnx`);
await map("best", () => drop(["detector.onnx", "letterboxed.png"]));
said.boxes = await boxes();
await map("clicked", () => page.locator(".box", { hasText: "#2" }).click());
said.clicked = await boxes();
await map("entered", async () => {
  await page.locator(".box", { hasText: "#3" }).focus();
  await page.keyboard.press("Enter");
});
said.focused = await page.evaluate(() => document.activeElement.innerText);
await map("listed", async () => {
  await page.locator("#classes input:checked").focus();
  await page.keyboard.press("ArrowUp");
});
await map("nothing", () => drop(["empty.png"]));
said.empty = [await page.locator("#status").innerText(), await page.locator(".box").count()];
await map("inside", () => drop(["inside.onnx", "letterboxed.png"]));
said.inside = [await page.locator("#classes-note").innerText(), await page.locator(".box:not([disabled])").allInnerTexts()];
said.overflow += await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
const alone = await context.newPage();
await alone.goto(`file://${web}/index.html`);
said.opened = await alone.locator("#problem").innerText();
writeFileSync(`${files}/said.json`, JSON.stringify(said));
await opened.close();
server.close();
