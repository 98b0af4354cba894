// Addresses on this server, and asking it.

// What a proxy has put before every address; empty without one.
const PREFIX = document.documentElement.dataset.prefix;

/** The address of a path on this server. */
export const own = (path) => PREFIX + path;

/** The path on this server that an address leads to; `null` where it leads elsewhere. */
export function pathOf(address) {
  const elsewhere = address.origin !== location.origin || !`${address.pathname}/`.startsWith(`${PREFIX}/`);
  return elsewhere ? null : address.pathname.slice(PREFIX.length) || "/";
}

/** Fetch what is at an address; who has to sign in first is sent there, and comes back here. */
export async function ask(address, options) {
  const reply = await fetch(address, options);
  if (reply.status !== 401) return reply;
  location.reload(); // The page itself leads to where one signs in.
  return new Promise(() => {}); // Nothing is shown any more.
}
