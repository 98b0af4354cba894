// What was found: fetched as the server lays it out, shown in place of what was there before.

import { ask, isBusy, own, pathOf } from "./server.js";

const PART = own("/parts/answer");
// A reply within this many milliseconds comes without any sign of waiting.
const PATIENCE_MS = 140;

const place = document.getElementById("answer");
const announcer = document.querySelector("[data-announce]");
let current = null;
let waiting = null;

/** Call `act` whenever something new is shown. */
export function onShown(act) {
  place.addEventListener("shown", act);
}

/** The address of the search that the form stands for. */
export function formAddress(form) {
  const given = new URLSearchParams(new FormData(form));
  const weights = [];
  let moved = false;
  for (const slider of document.querySelectorAll("[data-balance] input")) {
    given.delete(slider.name);
    weights.push(`${slider.name.replace("weight-", "")}:${Number(slider.value)}`);
    moved ||= Number(slider.value) !== Number(slider.dataset.default);
  }
  if (moved) given.set("weights", weights.join(","));
  for (const [name, value] of [...given]) {
    if (!value.trim() || (name === "k" && value === "10")) given.delete(name, value);
  }
  const text = given.toString();
  return new URL(own(text ? `/?${text}` : "/"), location.href);
}

/**
 * Show the answer to the search at an address.
 *
 * Whatever was asked for before and has not come yet is given up; what is shown stays until the
 * new answer is there.
 *
 * `record`: "push" a new entry of the browser's history; "type" one that further typing replaces;
 * "none" where the browser has gone there already. `keep`: "balance" leaves the sliders alone.
 */
export async function show(address, { record = "push", keep = null } = {}) {
  current?.abort();
  const mine = new AbortController();
  current = mine;
  note(address, record);
  clearTimeout(waiting);
  waiting = setTimeout(showWaiting, PATIENCE_MS);
  try {
    const asked = new URL(PART + address.search, location.href);
    if (record === "type" && keep === null) asked.searchParams.set("typing", "1");
    const reply = await ask(asked, { signal: mine.signal });
    if (isBusy(reply)) throw new Error(reply.statusText);
    const text = await reply.text();
    if (current !== mine) return false;
    put(text, keep);
  } catch (error) {
    if (error.name === "AbortError" || current !== mine) return false;
    putUnreachable(address);
  } finally {
    if (current === mine) {
      clearTimeout(waiting);
      place.removeAttribute("aria-busy");
      current = null;
    }
  }
  return true;
}

function note(address, record) {
  if (record === "none") return;
  const same = address.href === location.href;
  const replace = same || (record === "type" && history.state?.typing);
  const state = record === "type" ? { typing: true } : {};
  if (replace) history.replaceState(state, "", address);
  else history.pushState(state, "", address);
}

function showWaiting() {
  place.setAttribute("aria-busy", "true");
  if (!place.querySelector(".columns")) {
    place.replaceChildren(document.getElementById("skeleton").content.cloneNode(true));
    document.body.className = "found";
  }
}

function put(text, keep) {
  const holder = document.createElement("template");
  holder.innerHTML = text;
  const part = holder.content;
  const told = part.querySelector("[data-title]");
  const results = place.querySelector(".results");
  if (keep === "balance" && results && part.querySelector(".results")) {
    results.replaceWith(part.querySelector(".results"));
    place.querySelector("[data-balance] .hint")?.replaceWith(part.querySelector("[data-balance] .hint"));
  } else {
    place.replaceChildren(part);
  }
  document.body.className = place.querySelector(".welcome") ? "home" : "found";
  document.title = told?.dataset.title ?? "Trine";
  announcer.textContent = place.querySelector(".summary")?.textContent.replace(/\s+/g, " ") ?? "";
  place.dispatchEvent(new CustomEvent("shown"));
}

function putUnreachable(address) {
  for (const one of place.querySelectorAll(".unreachable, .skeleton")) one.remove();
  place.prepend(document.getElementById("unreachable").content.cloneNode(true));
  place.querySelector("[data-retry]").addEventListener("click", () => {
    show(address, { record: "none" });
  });
}

/**
 * Show what a link leads to below the link itself, or take it away again.
 *
 * The link's page has a part of its own at the same address below `/parts`.
 */
export async function unfold(link) {
  const shown = link.parentElement.nextElementSibling;
  if (shown?.hasAttribute("data-unfolded")) {
    shown.remove();
    link.setAttribute("aria-expanded", "false");
    return;
  }
  link.setAttribute("aria-busy", "true");
  try {
    const reply = await ask(own(`/parts${pathOf(link)}${link.search}`));
    if (!reply.ok) throw new Error(reply.statusText);
    const holder = document.createElement("div");
    holder.dataset.unfolded = "";
    holder.innerHTML = await reply.text();
    link.parentElement.after(holder);
    link.setAttribute("aria-expanded", "true");
  } catch {
    location.href = link.href; // The page of its own says what is wrong.
  } finally {
    link.removeAttribute("aria-busy");
  }
}
