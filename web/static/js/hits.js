// The keyboard among hits: arrows from one to the next, single keys for what a hit offers.

import { isTyping } from "./keys.js";

const TITLES = ".hit h2 a";

/** Move to the first hit; whether there is one. */
export function enterHits() {
  const first = document.querySelector(TITLES);
  first?.closest("details:not([open])")?.setAttribute("open", "");
  first?.focus();
  return Boolean(first);
}

/** Let the keyboard move among hits and act on the one it is at; `box` is above the first. */
export function setUpHits(box) {
  document.addEventListener("keydown", (event) => {
    if (isTyping(event) || event.defaultPrevented) return;
    const titles = [...document.querySelectorAll(TITLES)];
    const hit = document.activeElement.closest(".hit");
    const at = hit ? titles.findIndex((title) => hit.contains(title)) : -1;
    // Where the focus is put once something else was found.
    const above = document.activeElement.id === "answer";
    const act = {
      ArrowDown: above ? enterHits : hit && (() => titles[at + 1]?.focus()),
      ArrowUp: hit && (() => (titles[at - 1] ?? box).focus()),
      w: hit && (() => hit.querySelector(".why summary").click()),
      m: hit && (() => hit.querySelector("[data-steer=more]").click()),
      l: hit && (() => hit.querySelector("[data-steer=less]").click()),
      n: () => document.querySelector(".pages [rel=next]")?.click(),
      p: () => document.querySelector(".pages [rel=prev]")?.click(),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
