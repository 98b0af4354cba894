// A page with one form and what comes of it: typing asks anew, the address keeps up.

import { ask, isBusy, own, pathOf } from "./server.js";

const PAUSE_MS = 250;

/**
 * Keep what is shown below a form up to date with what stands in it.
 *
 * `path` is the page's, `part` the path of what it shows, without its frame. `shown()` is called
 * after something new is there.
 */
export function liveForm({ path, part, shown = () => {} }) {
  const form = document.getElementById("search");
  const place = document.getElementById("answer");
  const announcer = document.querySelector("[data-announce]");
  let current = null;
  let pause = null;
  let last = addressOf().href;

  function addressOf() {
    const given = new URLSearchParams(new FormData(form));
    for (const [name, value] of [...given]) if (!value.trim()) given.delete(name, value);
    const text = given.toString();
    return new URL(own(text ? `${path}?${text}` : path), location.href);
  }

  async function show(address, record) {
    clearTimeout(pause);
    current?.abort();
    const mine = new AbortController();
    current = mine;
    last = address.href;
    if (record && address.href !== location.href) {
      const typing = record === "type" && history.state?.typing;
      history[typing ? "replaceState" : "pushState"](
        record === "type" ? { typing: true } : {}, "", address);
    }
    const slow = setTimeout(() => place.setAttribute("aria-busy", "true"), 140);
    try {
      const reply = await ask(own(part + address.search), { signal: mine.signal });
      if (isBusy(reply)) throw new Error(reply.statusText);
      const text = await reply.text();
      if (current !== mine) return;
      place.innerHTML = text;
      document.title = place.querySelector("[data-title]")?.dataset.title ?? document.title;
      announcer.textContent = "";
      announcer.textContent = place.querySelector("[data-summary], .remarks, h1")?.textContent ?? "";
      shown();
    } catch (error) {
      if (error.name === "AbortError" || current !== mine) return;
      announcer.classList.remove("unseen");
      announcer.textContent = "The server does not answer. What is shown is from before.";
      return;
    } finally {
      clearTimeout(slow);
      if (current === mine) place.removeAttribute("aria-busy");
    }
    announcer.classList.add("unseen");
  }

  /** Show the page at an address, and put what it asks for into the form. */
  function go(address, record) {
    for (const field of form.querySelectorAll("input[type=text]")) {
      field.value = address.searchParams.get(field.name) ?? "";
    }
    show(address, record);
  }

  function askSoon() {
    clearTimeout(pause);
    pause = setTimeout(() => {
      const address = addressOf();
      if (address.href !== last) show(address, "type");
    }, PAUSE_MS);
  }

  form.addEventListener("input", (event) => event.isComposing || askSoon());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    show(addressOf(), "push");
  });
  place.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-part]");
    if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(new URL(link.href), "push");
    place.focus({ preventScroll: true });
  });
  addEventListener("popstate", () => {
    if (pathOf(location) !== path) return;
    go(new URL(location.href), null);
  });
  // Something may have been typed while the scripts were on their way.
  const typed = [...form.querySelectorAll("input[type=text]")].some((one) => one.value !== one.defaultValue);
  if (typed) {
    last = null;
    askSoon();
  }
}
