// The model in its worker, as functions that can be awaited.

const waiting = new Map();
let worker = null, last = 0;

function start() {
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data: { id, found, error } }) => {
    const { done, failed } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) done(found);
    else failed(new Error(error));
  };
  worker.onerror = () => {
    for (const { failed } of waiting.values()) failed(new Error("onnxruntime-web is not in the folder ort: run sh set_up.sh"));
    waiting.clear();
    worker = null;
  };
}

function ask(action, given) {
  if (!worker) start();
  return new Promise((done, failed) => {
    waiting.set(++last, { done, failed });
    worker.postMessage({ id: last, action, ...given });
  });
}

export const open = (bytes) => ask("open", { bytes });
export const run = (given) => ask("run", given);
