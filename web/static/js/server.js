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

const MOST_ATTEMPTS = 3;
const LONGEST_REST_S = 5;

/** Whether a server is too busy to answer just now. */
export const isBusy = (reply) => reply.status === 503 && reply.headers.has("Retry-After");

/**
 * Fetch what is at an address; who has to sign in first is sent there, and comes back here. A
 * server that is busy is asked again when it wants to be.
 */
export async function ask(address, options) {
  let reply = await fetch(address, options);
  for (let attempt = 1; isBusy(reply) && attempt < MOST_ATTEMPTS; attempt++) {
    const rest_s = Number(reply.headers.get("Retry-After"));
    if (!(rest_s <= LONGEST_REST_S)) break;
    await new Promise((done) => setTimeout(done, rest_s * 1000));
    reply = await fetch(address, options);
  }
  if (reply.status !== 401) return reply;
  location.reload(); // The page itself leads to where one signs in.
  return new Promise(() => {}); // Nothing is shown any more.
}
