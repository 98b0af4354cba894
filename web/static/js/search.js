// The search page: what is typed is completed and searched for at once, without a new page.

import { formAddress, onShown, show, unfold } from "./answer.js";
import { completions } from "./completions.js";
import { enterHits, setUpHits } from "./hits.js";
import { addRecent } from "./recent.js";
import { pathOf } from "./server.js";

// Once nothing was typed for so long, what stands there is searched for.
const PAUSE_MS = 160;

const form = document.getElementById("search");
const box = document.getElementById("q");
const place = document.getElementById("answer");
let pause = null;
// What the page was made for: something else may have been typed while the scripts were on their way.
let searched = box.defaultValue.trim();

const collection = () => new FormData(form).get("collection") ?? "";

/** Search for what stands in the form. */
function search(record, keep = null) {
  clearTimeout(pause);
  searched = box.value.trim();
  return show(formAddress(form), { record, keep });
}

/** Search for what somebody meant, not just began to type. */
function commit() {
  list.close();
  addRecent(box.value, collection());
  return search("push");
}

const list = completions(box, document.querySelector("[data-completions]"), collection, {
  choose: commit,
  leave: enterHits,
});

function onTyped() {
  clearTimeout(pause);
  if (box.value.trim() === searched) return;
  pause = setTimeout(() => search("type"), PAUSE_MS);
}

box.addEventListener("input", (event) => event.isComposing || onTyped());
box.addEventListener("compositionend", onTyped);
box.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || !box.value) return;
  event.preventDefault();
  box.value = "";
  box.dispatchEvent(new Event("input"));
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  commit();
});

document.addEventListener("change", (event) => {
  if (event.target.closest("[data-at-once]")) search("push");
});
document.addEventListener("input", (event) => {
  const slider = event.target.closest("[data-balance] input");
  if (!slider) return;
  slider.parentElement.querySelector("output").value = Number(slider.value);
  clearTimeout(pause);
  pause = setTimeout(() => search("type", "balance"), PAUSE_MS / 2);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("#answer a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey
      || event.shiftKey || event.altKey) return;
  if (link.closest(".hit h2")) addRecent(box.value, collection());
  if (link.matches("[data-unfold]")) {
    event.preventDefault();
    unfold(link);
    return;
  }
  if (pathOf(link) !== "/" || link.hash) return;
  event.preventDefault();
  follow(link);
});

/** Go where a link within the answer leads, and keep the focus near where it was. */
async function follow(link) {
  const address = new URL(link.href);
  const facet = link.closest(".facet");
  const [heading, value] = [facet?.querySelector("h2").textContent, link.querySelector("bdi")?.textContent];
  takeWords(address);
  if (!(await show(address))) return;
  const same = [...document.querySelectorAll(".facet")]
    .find((one) => heading && one.querySelector("h2").textContent === heading);
  const again = [...(same?.querySelectorAll("a") ?? [])]
    .find((one) => one.querySelector("bdi").textContent === value);
  if (again) again.focus({ preventScroll: true });
  else {
    scrollTo({ top: 0 });
    place.focus({ preventScroll: true });
  }
}

function takeWords(address) {
  // What was typed last is not searched for any more: somebody went elsewhere.
  clearTimeout(pause);
  box.value = address.searchParams.get("q") ?? "";
  searched = box.value.trim();
  list.close();
}

addEventListener("popstate", () => {
  if (pathOf(location) !== "/") {
    location.reload();
    return;
  }
  const address = new URL(location.href);
  if (address.hash && place.querySelector(".columns")) return;
  takeWords(address);
  show(address, { record: "none" });
});

onShown(() => {
  // Without words there may still be documents to go by.
  box.required = !document.querySelector("input[form=search][name=like]");
});
setUpHits(box);
if (document.activeElement === box && (!box.value || box.value !== box.defaultValue)) list.offer();
onTyped();
