// Judging without a new page: a thumb is kept at once; j and k move, y and n judge.

import { isTyping } from "./keys.js";
import { own } from "./server.js";

const announcer = document.querySelector("[data-announce]");
const candidates = [...document.querySelectorAll(".candidate")];
const collection = document.querySelector(".thumbs [name=collection]")?.value;

document.getElementById("q").required = true;

async function keep(form, pressed) {
  const query = form.elements.q.value;
  const taken = pressed.getAttribute("aria-pressed") === "true";
  const relevance = taken ? null : Number(pressed.dataset.relevance);
  form.classList.remove("failed");
  try {
    const reply = await fetch(own("/api/v1/judgments"), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ query, doc_id: form.elements.doc_id.value, relevance, collection }),
    });
    const told = await reply.json();
    if (!reply.ok) throw new Error(told.detail);
    show(form, told);
    announcer.textContent = taken ? "Taken back" : relevance ? "Answers it" : "Does not answer it";
  } catch (error) {
    form.classList.add("failed");
    announcer.classList.remove("unseen");
    announcer.textContent = `Not kept: ${error.message}`;
  }
}

function show(form, told) {
  for (const button of form.querySelectorAll("button")) {
    const level = Number(button.dataset.relevance);
    const pressed = told.relevance != null && Math.min(told.relevance, 1) === level;
    button.setAttribute("aria-pressed", String(pressed));
    button.value = pressed ? "" : String(level);
  }
  form.closest(".candidate").dataset.relevance = told.relevance ?? "";
  document.querySelector("[data-answered]").textContent = told.n_answered.toLocaleString("en");
  document.querySelector("[data-judgments]").textContent = told.n_judgments.toLocaleString("en");
  document.querySelector("[data-progress]").value = told.n_answered;
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches(".thumbs")) return;
  event.preventDefault();
  keep(event.target, event.submitter);
});

document.addEventListener("keydown", (event) => {
  if (isTyping(event) || !candidates.length) return;
  const at = candidates.findIndex((one) => one.contains(document.activeElement));
  const go = (to) => candidates[to]?.querySelector(".thumbs button").focus();
  const press = (level) => candidates[at]?.querySelector(`[data-relevance="${level}"]`).click();
  const act = {
    j: () => go(at + 1),
    k: () => go(Math.max(0, at - 1)),
    y: () => press(1),
    n: () => press(0),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
