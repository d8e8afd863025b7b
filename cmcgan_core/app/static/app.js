// Choose, drop or record a file, order something, and show the cards of the jobs until they have ended.
"use strict";

const form = document.querySelector("#order");
const notice = document.querySelector("#notice");
const given = document.querySelector("#given");
const history_ = document.querySelector("#history");
const status_ = document.querySelector("#status");
const recordButton = document.querySelector("#record");
const suffixes = JSON.parse(form.dataset.suffixes);
const language = form.dataset.language;
const POLL_MILLISECONDS = 400;
const RECORDING_MILLISECONDS = 60_000;
let chosen = null;
let recorder = null;

function say(text) {
  notice.textContent = text;
  notice.hidden = !text;
}

function newSeed() {
  return Math.floor(Math.random() * 2 ** 31);
}

function kindOf(name) {
  const suffix = name.slice(name.lastIndexOf(".")).toLowerCase();
  return Object.keys(suffixes).find((kind) => suffixes[kind].includes(suffix));
}

function choose(file, kind = kindOf(file.name)) {
  if (!kind) return say(notice.dataset.unknown);
  if (file.size > Number(form.dataset.largest)) return say(notice.dataset.large);
  say("");
  chosen = file;
  const player = document.createElement({ sound: "audio", picture: "img", video: "video" }[kind]);
  player.src = URL.createObjectURL(file);
  if (kind === "picture") player.alt = file.name;
  else { player.controls = true; player.setAttribute("aria-label", file.name); }
  const old = document.querySelector("#preview").firstElementChild;
  if (old) URL.revokeObjectURL(old.src);
  document.querySelector("#preview").replaceChildren(player);
  document.querySelector("#name").textContent = file.name;
  for (const part of given.querySelectorAll("[data-kinds]")) {
    part.hidden = !part.dataset.kinds.split(" ").includes(kind);
  }
  given.hidden = false;
}

// The microphone.

function showRecording(on) {
  recordButton.setAttribute("aria-pressed", String(on));
  recordButton.querySelector(".word").textContent = on ? recordButton.dataset.stop : recordButton.dataset.record;
}

async function record() {
  if (recorder) return recorder.stop();
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch {
    return say(notice.dataset.microphone);
  }
  const parts = [];
  recorder = new MediaRecorder(stream);
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.addEventListener("stop", () => {
    const type = recorder.mimeType;
    const suffix = type.includes("mp4") ? "m4a" : type.includes("ogg") ? "ogg" : "webm";
    for (const track of stream.getTracks()) track.stop();
    clearTimeout(limit);
    recorder = null;
    showRecording(false);
    choose(new File(parts, `recording.${suffix}`, { type }), "sound");
  });
  recorder.start();
  showRecording(true);
  const limit = setTimeout(() => recorder?.stop(), RECORDING_MILLISECONDS);
}

// Jobs and their cards.

async function request(path, options = {}) {
  const separator = path.includes("?") ? "&" : "?";
  let response;
  try {
    response = await fetch(`${path}${separator}language=${language}`, options);
  } catch {
    throw new Error(notice.dataset.lost);
  }
  const text = await response.text();
  if (!response.ok) throw Object.assign(new Error(text), { status: response.status });
  return document.createRange().createContextualFragment(text).querySelector("article");
}

function cardsOf() {
  return [...history_.querySelectorAll("article")];
}

function remember() {
  sessionStorage.setItem("jobs", JSON.stringify(cardsOf().map((card) => card.dataset.job)));
  document.querySelector("#empty").hidden = cardsOf().length > 0;
}

function addCard(card) {
  history_.prepend(card);
  for (const old of cardsOf().slice(Number(history_.dataset.kept))) old.remove();
  remember();
  follow(card);
}

// Request a card again until its job has ended. While the state is the same, only the progress is replaced, so that
// the button in the card keeps the focus.
async function follow(card) {
  while (!("final" in card.dataset)) {
    await new Promise((done) => setTimeout(done, POLL_MILLISECONDS));
    let next;
    try {
      next = await request(`/jobs/${card.dataset.job}`);
    } catch (error) {
      say(error.message);
      if (error.status === 404) return forget(card);
      continue;
    }
    if (next.dataset.state === card.dataset.state) {
      card.querySelector(".progress").replaceWith(next.querySelector(".progress"));
    } else {
      card.replaceWith(next);
      card = next;
      if ("final" in card.dataset) {
        status_.textContent = status_.dataset.ready.replace("{title}", card.querySelector("h3").textContent);
      }
    }
  }
  say("");
}

function forget(card) {
  const text = document.createElement("p");
  text.textContent = history_.dataset.deleted;
  card.querySelector(".result, .progress")?.replaceWith(text);
  card.removeAttribute("data-job");
  remember();
}

async function submit(action) {
  const order = {
    action,
    name: chosen.name,
    model: form.elements.model.value,
    samples: form.elements.samples.valueAsNumber,
    seed: form.elements.seed.valueAsNumber,
    seconds: Number(form.elements.seconds.value),
  };
  try {
    addCard(await request(`/jobs?order=${encodeURIComponent(JSON.stringify(order))}`, { method: "POST", body: chosen }));
    say("");
  } catch (error) {
    say(error.message);
  }
}

async function restore() {
  for (const job of JSON.parse(sessionStorage.getItem("jobs") ?? "[]").reverse()) {
    try {
      addCard(await request(`/jobs/${job}`));
    } catch { /* It has been deleted, or the server was started again. */ }
  }
  remember();
}

form.elements.seed.value = newSeed() % 1000;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(event.submitter.value);
});
document.querySelector("#file").addEventListener("change", (event) => {
  if (event.target.files[0]) choose(event.target.files[0]);
  event.target.value = "";
});
recordButton.addEventListener("click", record);
document.querySelector("#new-seed").addEventListener("click", () => { form.elements.seed.value = newSeed() % 1000; });
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  form.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) form.classList.remove("dragging"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  form.classList.remove("dragging");
  if (event.dataTransfer.files[0]) choose(event.dataTransfer.files[0]);
});
history_.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("seed" in button.dataset) {
    form.elements.seed.value = button.dataset.seed;
    form.elements.samples.value = 1;
  } else if ("use" in button.dataset) {
    const blob = await (await fetch(button.dataset.use)).blob();
    choose(new File([blob], button.dataset.name, { type: blob.type }));
    form.scrollIntoView({ block: "start" });
  } else if ("cancel" in button.dataset) {
    button.disabled = true;
    await request(`/jobs/${button.closest("article").dataset.job}/cancel`, { method: "POST" }).catch(() => {});
  }
});
// A result whose files have been deleted on the server.
history_.addEventListener("error", (event) => {
  const card = event.target.closest("article[data-job]");
  if (card) request(`/jobs/${card.dataset.job}`).catch((error) => { if (error.status === 404) forget(card); });
}, true);
restore();
