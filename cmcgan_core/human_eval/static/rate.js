// Keyboard control, large play buttons, preloading and response times. The pages also work without this script.
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
    sound.dataset.played = "yes";
    button.querySelector(".word").textContent = button.dataset.again;
    updateAnswerButtons();
  });
  sound.addEventListener("error", showFailure);
}
for (const picture of document.querySelectorAll("img")) {
  picture.addEventListener("error", showFailure);
}

function play(sound) {
  for (const other of sounds) other.pause();
  sound.currentTime = 0;
  // Browsers block sound until the first key press or touch. In that case the rater uses the play button.
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

// The answer buttons stay disabled until every sound has been played.
function updateAnswerButtons() {
  if (!form) return;
  const open = sounds.every((sound) => sound.dataset.played);
  for (const button of form.querySelectorAll("button")) button.disabled = !open;
  document.querySelector("#listen").hidden = open;
}

if (form) {
  updateAnswerButtons();
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
  const target = event.target;
  if (target.matches("input:not([type=checkbox])")) return;
  if (event.key === " " && !target.matches("button, a, input")) {
    event.preventDefault();
    playAll();
  } else if (event.key.toLowerCase() === "b") {
    document.querySelector("#back")?.click();
  } else if (form) {
    form.querySelector(`button[data-key="${CSS.escape(event.key)}"]`)?.click();
  }
});

// Load the media of the next item while the rater judges this one.
window.addEventListener("load", () => {
  for (const entry of document.querySelectorAll("#preload li")) {
    fetch(entry.dataset.file).then((response) => response.blob()).catch(() => {});
  }
});
