// Single keys as shortcuts, out of the way of whoever types.

/** Whether a key was meant for a field, a dialog or a shortcut of the browser's. */
export function isTyping(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return true;
  if (document.querySelector("dialog[open]")) return true;
  return event.target.closest?.("input, textarea, select, [contenteditable]") != null;
}

/** Call `act` whenever a key is pressed anywhere on the page. */
export function onKey(key, act) {
  document.addEventListener("keydown", (event) => {
    if (event.key === key && !event.defaultPrevented) act(event);
  });
}
