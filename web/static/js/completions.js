// Completions of what is typed: a combobox whose list is one line below the box.
// The pattern: https://www.w3.org/WAI/ARIA/apg/patterns/combobox/

import { dropRecent, forgetRecent, recentQueries } from "./recent.js";
import { own } from "./server.js";

const DELAY_MS = 60;
const MOST = 6;
const KEPT = 200;

/**
 * Complete what is typed into a box.
 *
 * `choose(text)` is called with a completion that was chosen, `leave()` when the arrow goes on
 * below the last one. Gives functions to `close` the list, and to `offer` completions again.
 */
export function completions(box, place, collection, { choose, leave }) {
  const list = document.createElement("ul");
  const forgetting = document.createElement("button");
  const known = new Map();
  let entries = [];
  let selected = -1;
  let timer = null;
  let asked = null;

  list.id = "completions";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Completions");
  forgetting.type = "button";
  forgetting.className = "quiet-button";
  forgetting.textContent = "Forget these";
  forgetting.hidden = true;
  place.append(list, forgetting);
  box.setAttribute("role", "combobox");
  box.setAttribute("aria-autocomplete", "list");
  box.setAttribute("aria-controls", list.id);
  box.setAttribute("aria-expanded", "false");
  list.hidden = true;

  function draw(found) {
    entries = found;
    selected = -1;
    list.replaceChildren(...found.map(optionOf));
    list.hidden = !found.length;
    list.scrollLeft = 0;
    box.setAttribute("aria-expanded", String(found.length > 0));
    box.removeAttribute("aria-activedescendant");
    forgetting.hidden = found[0]?.kind !== "recent";
  }

  function optionOf(entry, position) {
    const option = document.createElement("li");
    option.id = `completion-${position}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    option.dataset.kind = entry.kind;
    option.dir = "auto";
    // What is typed already stays quiet; what a choice would add stands out.
    const typed = box.value.trimStart().toLowerCase();
    const begun = typed && entry.text.toLowerCase().startsWith(typed) ? typed.length : 0;
    const added = document.createElement("b");
    added.textContent = entry.text.slice(begun);
    option.append(entry.text.slice(0, begun), added);
    return option;
  }

  function select(position) {
    list.children[selected]?.setAttribute("aria-selected", "false");
    selected = position;
    const option = list.children[selected];
    if (!option) {
      box.removeAttribute("aria-activedescendant");
      return;
    }
    option.setAttribute("aria-selected", "true");
    option.scrollIntoView({ block: "nearest", inline: "nearest" });
    box.setAttribute("aria-activedescendant", option.id);
  }

  function close() {
    clearTimeout(timer);
    asked?.abort();
    draw([]);
  }

  async function offer() {
    const text = box.value;
    asked?.abort();
    if (!text.trim()) {
      const before = recentQueries(collection()).slice(0, MOST);
      draw(before.map((q) => ({ text: q, kind: "recent" })));
      return;
    }
    const key = `${collection()}\n${text}`;
    if (!known.has(key)) {
      asked = new AbortController();
      const parameters = new URLSearchParams({ q: text, limit: MOST });
      if (collection()) parameters.set("collection", collection());
      try {
        const reply = await fetch(own(`/api/v1/suggest?${parameters}`), { signal: asked.signal });
        if (!reply.ok) return;
        const { suggestions } = await reply.json();
        if (known.size >= KEPT) known.clear();
        known.set(key, suggestions);
      } catch {
        return; // Given up for a newer one, or the server is away: the search will tell.
      }
    }
    if (box.value !== text || document.activeElement !== box) return;
    draw(known.get(key).filter((entry) => entry.text.toLowerCase() !== text.trim().toLowerCase()));
  }

  function take(entry) {
    box.value = entry.text;
    close();
    choose(entry.text);
  }

  box.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(offer, box.value.trim() ? DELAY_MS : 0);
  });
  box.addEventListener("focus", () => {
    if (!box.value.trim()) offer();
  });
  box.addEventListener("blur", (event) => {
    if (!place.contains(event.relatedTarget)) close();
  });
  // Keeps the focus, and with it the keyboard, in the box.
  list.addEventListener("pointerdown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const option = event.target.closest("[role=option]");
    if (option) take(entries[[...list.children].indexOf(option)]);
  });
  forgetting.addEventListener("click", () => {
    forgetRecent();
    draw([]);
    box.focus();
  });
  box.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = entries.length - 1;
    if (event.key === "ArrowDown") {
      event.preventDefault();
      if (selected < last) select(selected + 1);
      else {
        close();
        leave();
      }
    } else if (event.key === "ArrowUp" && entries.length) {
      event.preventDefault();
      select(selected < 0 ? last : selected - 1);
    } else if (event.key === "Enter" && selected >= 0) {
      event.preventDefault();
      take(entries[selected]);
    } else if (event.key === "Delete" && entries[selected]?.kind === "recent") {
      event.preventDefault();
      dropRecent(entries[selected].text, collection());
      offer();
    } else if (event.key === "Escape" && entries.length) {
      event.preventDefault();
      event.stopPropagation();
      close();
    }
  });
  return { close, offer };
}
