// Runs before anything is drawn: a theme chosen on this device must not flash another first.
(() => {
  try {
    const theme = localStorage.getItem("trine.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  } catch {
    // Storage is switched off: the system's theme it is.
  }
})();
