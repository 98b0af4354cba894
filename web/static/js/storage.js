// What is remembered on this device, and nowhere else; nothing where storage is switched off.

/** The value kept under a name, or `otherwise`. */
export function remembered(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`trine.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keep a value that JSON can hold. */
export function remember(name, value) {
  try {
    localStorage.setItem(`trine.${name}`, JSON.stringify(value));
  } catch {
    // Full, or switched off: the page works without.
  }
}

/** Keep it no longer. */
export function forget(name) {
  try {
    localStorage.removeItem(`trine.${name}`);
  } catch {
    // There was nothing.
  }
}
