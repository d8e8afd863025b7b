// Choose, drop or record a file, order something, and show the cards of the jobs until they have ended.
"use strict";

const form = document.querySelector("#order");
const notice = document.querySelector("#notice");
const results = document.querySelector("#history");
const announcer = document.querySelector("#status");
const recordButton = document.querySelector("#record");
const actions = [...document.querySelectorAll("#actions button")];
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
  return Math.floor(Math.random() * 1000);
}

function kindOf(name) {
  const suffix = name.slice(name.lastIndexOf(".")).toLowerCase();
  return Object.keys(suffixes).find((kind) => suffixes[kind].includes(suffix));
}

function choose(file) {
  const kind = kindOf(file.name);
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
  const fits = (part) => part.dataset.kinds.split(" ").includes(kind);
  for (const label of form.querySelectorAll("label[data-kinds]")) label.hidden = !fits(label);
  // The other buttons are removed, because the Enter key presses the first one, hidden or not.
  document.querySelector("#actions").replaceChildren(...actions.filter(fits));
  form.hidden = false;
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
    for (const track of stream.getTracks()) track.stop();
    clearTimeout(limit);
    recorder = null;
    showRecording(false);
    toWav(new Blob(parts)).then(choose, () => say(notice.dataset.silence));
  });
  recorder.start();
  showRecording(true);
  const limit = setTimeout(() => recorder?.stop(), RECORDING_MILLISECONDS);
}

// Browsers record in different formats. A WAV file is a sound for all of them, and for the server.
async function toWav(recording) {
  const sound = await new AudioContext().decodeAudioData(await recording.arrayBuffer());
  const samples = Int16Array.from(sound.getChannelData(0), (value) => 32767 * Math.max(-1, Math.min(1, value)));
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + samples.byteLength, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, sound.sampleRate, true);
  header.setUint32(28, 2 * sound.sampleRate, true);
  header.setUint16(32, 2, true); // bytes of a sample
  header.setUint16(34, 16, true);
  text(36, "data");
  header.setUint32(40, samples.byteLength, true);
  return new File([header, samples], "recording.wav", { type: "audio/wav" });
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
  if (notice.textContent === notice.dataset.lost) say("");
  const text = await response.text();
  if (!response.ok) throw Object.assign(new Error(text), { status: response.status });
  return document.createRange().createContextualFragment(text).querySelector("article");
}

function cardsOf() {
  return [...results.querySelectorAll("article[data-job]")];
}

function remember() {
  sessionStorage.setItem("jobs", JSON.stringify(cardsOf().map((card) => card.dataset.job)));
  document.querySelector("#empty").hidden = cardsOf().length > 0;
}

function addCard(card) {
  results.prepend(card);
  for (const old of cardsOf().slice(Number(results.dataset.kept))) old.remove();
  remember();
  follow(card);
}

// Request a card again until its job has ended. Until then only the progress is replaced, so that the button in the
// card keeps the focus.
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
    if (!("final" in next.dataset)) {
      card.querySelector(".progress").replaceWith(next.querySelector(".progress"));
      continue;
    }
    const focused = card.contains(document.activeElement);
    card.replaceWith(next);
    if (focused) next.focus();
    const ready = announcer.dataset.ready.replace("{title}", next.querySelector("h3").textContent);
    announcer.textContent = next.dataset.state === "done" ? ready : next.querySelector(":scope > p").textContent;
    return;
  }
}

function forget(card) {
  const text = document.createElement("p");
  text.textContent = results.dataset.deleted;
  card.querySelector(".result, .progress")?.replaceWith(text);
  card.querySelector("[data-cancel]")?.remove();
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
  const jobs = JSON.parse(sessionStorage.getItem("jobs") ?? "[]");
  // A card that cannot be fetched has been deleted, or the server was started again.
  const cards = await Promise.all(jobs.map((job) => request(`/jobs/${job}`).catch(() => null)));
  for (const card of cards.reverse()) if (card) addCard(card);
  remember();
}

form.elements.seed.value = newSeed();
form.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(event.submitter.value);
});
const fileInput = document.querySelector("#file");
document.querySelector("#choose").addEventListener("click", () => fileInput.click());
fileInput.addEventListener("change", (event) => {
  if (event.target.files[0]) choose(event.target.files[0]);
  event.target.value = "";
});
recordButton.addEventListener("click", record);
document.querySelector("#new-seed").addEventListener("click", () => { form.elements.seed.value = newSeed(); });
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer.files[0]) choose(event.dataTransfer.files[0]);
});
results.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("seed" in button.dataset) {
    form.elements.seed.value = button.dataset.seed;
    form.elements.samples.value = 1;
    form.elements.seed.focus();
  } else if ("use" in button.dataset) {
    const blob = await (await fetch(button.dataset.use)).blob();
    choose(new File([blob], button.dataset.name, { type: blob.type }));
    scrollTo(0, 0);
  } else if ("cancel" in button.dataset) {
    await request(`/jobs/${button.closest("article").dataset.job}/cancel`, { method: "POST" }).catch(() => {});
  }
});
// A result whose files have been deleted on the server.
results.addEventListener("error", ({ target }) => {
  if (target.tagName === "VIDEO") target.nextElementSibling.hidden = false;
  const card = target.closest("article[data-job]");
  if (card) request(`/jobs/${card.dataset.job}`).catch((error) => { if (error.status === 404) forget(card); });
}, true);
// A film whose pictures the browser cannot decode.
results.addEventListener("loadedmetadata", ({ target }) => {
  if (target.tagName === "VIDEO" && !target.videoWidth) target.nextElementSibling.hidden = false;
}, true);
restore();
