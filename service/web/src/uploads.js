// Uploads that go on where they stopped, by the tus protocol.

import { Upload } from "tus-js-client";
import { sentence } from "./api.js";
import { announce, button, el } from "./dom.js";
import { bytes, percent } from "./format.js";

const CHUNK = 8 << 20; // bytes in one request: what is lost at most when the line breaks

/** A button and a place to drop files; `done` gets the id of each slide that came of one. */
export function uploader(done) {
  const list = el("ul", { className: "uploads", "aria-label": "Uploads" });
  const take = (files) => {
    for (const file of files) list.append(upload(file, done));
  };
  const picker = el("input", { type: "file", id: "upload", multiple: true, className: "spoken" });
  picker.addEventListener("change", () => {
    take(picker.files);
    picker.value = "";
  });
  const target = el(
    "div",
    { className: "drop" },
    picker,
    el("label", { htmlFor: "upload", className: "button" }, "Upload slides…"),
    el("span", { className: "hint" }, "or drop files here: one file a slide"),
  );
  target.addEventListener("dragover", (event) => {
    event.preventDefault();
    target.classList.add("over");
  });
  target.addEventListener("dragleave", () => target.classList.remove("over"));
  target.addEventListener("drop", (event) => {
    event.preventDefault();
    target.classList.remove("over");
    take(event.dataTransfer.files);
  });
  return el("div", { className: "uploader" }, target, list);
}

function upload(file, done) {
  const bar = el("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` });
  const words = el("p", { className: "hint" }, "starting");
  const pause = button("Pause", () => (running ? stop() : start()), { className: "quiet" });
  const cancel = button("Cancel", () => leave(), { className: "quiet" });
  const row = el("div", { className: "row" }, pause, cancel);
  const item = el("li", {}, el("p", { className: "slide-name" }, file.name), bar, words, row);
  let running = false;

  const task = new Upload(file, {
    endpoint: "/v1/uploads",
    chunkSize: CHUNK,
    metadata: { filename: file.name },
    retryDelays: [0, 1000, 3000, 10_000, 30_000],
    removeFingerprintOnSuccess: true,
    onProgress(sent, total) {
      bar.value = total ? sent / total : 1;
      const checking = sent === total ? ", the server looks whether it is a slide" : "";
      words.textContent = `${bytes(sent)} of ${bytes(total)}, ${percent(bar.value)}${checking}`;
    },
    onError(error) {
      halt("Try again");
      const response = error.originalResponse;
      words.className = "wrong";
      words.textContent = response
        ? sentence(response.getBody(), response.getStatus())
        : "The server cannot be reached. What was sent is kept: try again to go on.";
      announce(`Upload of ${file.name} failed: ${words.textContent}`);
      if (response?.getStatus() !== 422) return;
      pause.remove(); // the file is no slide, nor will it be
      bar.remove();
      cancel.textContent = "Dismiss";
    },
    onSuccess({ lastResponse }) {
      item.remove();
      announce(`${file.name} is uploaded`);
      done(lastResponse.getHeader("Extent-Slide"));
    },
  });

  function halt(next) {
    running = false;
    pause.textContent = next;
  }
  function start() {
    running = true;
    pause.textContent = "Pause";
    words.className = "hint";
    task.start();
  }
  function stop() {
    task.abort();
    halt("Go on");
  }
  function leave() {
    task.abort(true).catch(() => {}); // what the server keeps of it expires anyway
    item.remove();
  }

  task.findPreviousUploads().then((earlier) => {
    if (earlier.length) task.resumeFromPreviousUpload(earlier[0]);
    start();
  });
  return item;
}
