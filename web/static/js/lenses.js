// Lenses: typing asks anew, pointing at a document or its line follows it through all of them.

import { liveForm } from "./live_form.js";

const place = document.getElementById("answer");
// Where titles do not fit (css/lenses.css), a document that is followed is named below the board.
const narrow = matchMedia("(max-width: 62rem)");
let pinned = null;

function follow(number) {
  const board = place.querySelector("[data-board]");
  if (!board) return;
  for (const one of place.querySelectorAll(".followed")) one.classList.remove("followed");
  board.classList.toggle("following", number !== null);
  name(number);
  if (number === null) return;
  for (const one of place.querySelectorAll(`[data-document="${number}"]`)) one.classList.add("followed");
}

function name(number) {
  const told_here = place.querySelector("[data-follows]");
  const row = place.querySelector(`.as-table [data-document="${number}"]`);
  told_here.hidden = !row;
  if (!row) return;
  const ranks = [...row.querySelectorAll("td")].map((cell) => cell.textContent);
  const lenses = [...place.querySelectorAll(".as-table thead .short")].map((one) => one.textContent);
  const told = document.createElement("span");
  told.textContent = lenses.map((lens, at) => `${lens} ${ranks[at]}`).join(" · ");
  told_here.replaceChildren(row.querySelector("a").cloneNode(true), told);
}

const numberOf = (event) => event.target.closest?.("[data-document]")?.dataset.document ?? null;

place.addEventListener("pointerover", (event) => follow(numberOf(event) ?? pinned));
place.addEventListener("pointerleave", () => follow(pinned));
place.addEventListener("focusin", (event) => follow(numberOf(event) ?? pinned));
place.addEventListener("focusout", () => follow(pinned));
// A line has nothing to open: a click keeps its document in sight, until the next one. A finger
// cannot hover: where a document is but a dot, the first tap tells which, the second opens it.
place.addEventListener("click", (event) => {
  const number = numberOf(event);
  const link = event.target.closest("a");
  const tells = narrow.matches && event.pointerType === "touch" && number !== pinned;
  if (link && !(tells && link.closest("[data-board]"))) return;
  if (link) event.preventDefault();
  pinned = number === pinned ? null : number;
  follow(pinned);
});

liveForm({ path: "/lenses", part: "/parts/lenses", shown: () => { pinned = null; } });
