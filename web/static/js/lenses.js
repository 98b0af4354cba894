// Lenses: typing asks anew, pointing at a document or its line follows it through all of them.

import { liveForm } from "./live_form.js";

const place = document.getElementById("answer");
let pinned = null;

function follow(number) {
  const board = place.querySelector("[data-board]");
  if (!board) return;
  for (const one of place.querySelectorAll(".followed")) one.classList.remove("followed");
  board.classList.toggle("following", number !== null);
  if (number === null) return;
  for (const one of place.querySelectorAll(`[data-document="${number}"]`)) one.classList.add("followed");
}

const numberOf = (event) => event.target.closest?.("[data-document]")?.dataset.document ?? null;

place.addEventListener("pointerover", (event) => follow(numberOf(event) ?? pinned));
place.addEventListener("pointerleave", () => follow(pinned));
place.addEventListener("focusin", (event) => follow(numberOf(event) ?? pinned));
place.addEventListener("focusout", () => follow(pinned));
// A line has nothing to open: a click keeps its document in sight, until the next one.
place.addEventListener("click", (event) => {
  if (event.target.closest("a")) return;
  const number = numberOf(event);
  pinned = number === pinned ? null : number;
  follow(pinned);
});

liveForm({ path: "/lenses", part: "/parts/lenses", shown: () => { pinned = null; } });
