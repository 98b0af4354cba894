// What every page does: the theme, the keyboard help, the way to the search box.

import { isTyping, onKey } from "./keys.js";

const THEMES = ["system", "light", "dark"];
const root = document.documentElement;

function useTheme(theme) {
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  try {
    if (theme === "system") localStorage.removeItem("trine.theme");
    else localStorage.setItem("trine.theme", theme);
  } catch {
    // It lasts as long as the page.
  }
}

function setUpTheme(button) {
  const label = button.querySelector(".unseen");
  const tell = () => {
    const theme = root.dataset.theme ?? "system";
    label.textContent = `Theme: ${theme === "system" ? "as the system" : theme}`;
    button.title = label.textContent;
    return theme;
  };
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(tell()) + 1) % THEMES.length];
    useTheme(next);
    tell();
  });
  tell();
  button.hidden = false;
}

function setUpHelp(button, dialog) {
  const show = () => {
    if (dialog.open) return;
    dialog.showModal();
    // Not by an attribute: browsers heed that in a closed dialog too, when the page arrives.
    dialog.querySelector("h2").focus();
  };
  button.addEventListener("click", show);
  button.title = "Keyboard (?)";
  button.hidden = false;
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  onKey("?", (event) => {
    if (isTyping(event)) return;
    event.preventDefault();
    show();
  });
}

onKey("/", (event) => {
  const box = document.getElementById("q");
  if (!box || isTyping(event)) return;
  event.preventDefault();
  box.focus();
  box.select();
});
setUpTheme(document.querySelector("[data-theme-switch]"));
setUpHelp(document.querySelector("[data-help]"), document.querySelector("dialog.help"));
