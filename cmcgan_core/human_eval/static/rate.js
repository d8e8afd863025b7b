// Keys, big play buttons, preloading, times. The pages work without it.
"use strict";

const form = document.querySelector("#answer");
const sounds = [...document.querySelectorAll("audio")];
const shown = performance.now();
let plays = 0;
let sent = false;

for (const sound of sounds) {
  const button = sound.parentElement.querySelector(".play");
  sound.controls = false;
  button.hidden = false;
  button.addEventListener("click", () => play(sound));
  sound.addEventListener("playing", () => {
    plays += 1;
    sound.dataset.heard = "yes";
    button.querySelector(".word").textContent = button.dataset.again;
    openAnswers();
  });
  sound.addEventListener("error", showFailure);
}
for (const picture of document.querySelectorAll("img")) {
  picture.addEventListener("error", showFailure);
}

function play(sound) {
  for (const other of sounds) other.pause();
  sound.currentTime = 0;
  // Browsers refuse sound before the first touch; then the button is there.
  return sound.play().then(() => true, () => false);
}

async function playAll() {
  for (const sound of sounds) {
    if (!(await play(sound))) return;
    await new Promise((done) => {
      sound.addEventListener("ended", done, { once: true });
      sound.addEventListener("pause", done, { once: true });
    });
  }
}

function showFailure() {
  const notice = document.querySelector("#failed");
  if (notice) notice.hidden = false;
}

// Nobody answers before having heard every sound.
function openAnswers() {
  if (!form) return;
  const open = sounds.every((sound) => sound.dataset.heard);
  for (const button of form.querySelectorAll("button")) button.disabled = !open;
  document.querySelector("#listen").hidden = open;
}

if (form) {
  openAnswers();
  form.addEventListener("submit", (event) => {
    if (sent) return event.preventDefault();
    sent = true;
    form.elements.seconds.value = ((performance.now() - shown) / 1000).toFixed(2);
    form.elements.replays.value = Math.max(0, plays - sounds.length);
  });
  window.addEventListener("pageshow", () => { sent = false; });
  playAll();
}

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const at = event.target;
  if (at.matches("input:not([type=checkbox])")) return;
  if (event.key === " " && !at.matches("button, a, input")) {
    event.preventDefault();
    playAll();
  } else if (event.key.toLowerCase() === "b") {
    document.querySelector("#back")?.click();
  } else if (form) {
    form.querySelector(`button[data-key="${CSS.escape(event.key)}"]`)?.click();
  }
});

// Load what comes next while this item is judged.
window.addEventListener("load", () => {
  for (const entry of document.querySelectorAll("#preload li")) {
    fetch(entry.dataset.file).then((answer) => answer.blob()).catch(() => {});
  }
});
