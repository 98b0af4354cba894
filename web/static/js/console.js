// The console: live progress of what is indexed, told by the server, or asked for where it cannot.

import { ask } from "./server.js";

const POLL_MS = 1500;
const task = document.querySelector("[data-task]");

function show(found) {
  const done = found.state === "published" || found.state === "failed";
  const stage = !done && found.stage ? `: ${found.stage}` : "";
  const error = found.error ? `: ${found.error}` : "";
  task.dataset.state = found.state;
  task.querySelector("[data-told]").textContent = found.state + stage + error;
  const bar = task.querySelector("[data-share]");
  if (done) bar.value = 1;
  else if (found.share == null) bar.removeAttribute("value");
  else bar.value = found.share;
  // The new version stands in the table once the page is made anew.
  if (found.state === "published") location.replace(location.pathname + collectionOnly());
  return done;
}

function collectionOnly() {
  const collection = new URLSearchParams(location.search).get("collection");
  return collection ? `?${new URLSearchParams({ collection })}` : "";
}

async function poll() {
  try {
    const reply = await ask(task.dataset.poll);
    if (reply.ok && show(await reply.json())) return;
    if (reply.status === 403 || reply.status === 404) return;
  } catch {
    // The server may be starting again.
  }
  setTimeout(poll, POLL_MS);
}

function listen() {
  const events = new EventSource(task.dataset.events);
  events.addEventListener("message", (event) => {
    if (show(JSON.parse(event.data))) events.close();
  });
  events.addEventListener("error", () => {
    // A stream that ended is opened again by the browser; one that was refused is not.
    if (events.readyState === EventSource.CLOSED) poll();
  });
}

// Comparing and checking versions takes seconds.
document.addEventListener("submit", (event) => event.submitter?.setAttribute("aria-busy", "true"));
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button[aria-busy]")) button.removeAttribute("aria-busy");
});

if (task && !["published", "failed"].includes(task.dataset.state)) listen();
