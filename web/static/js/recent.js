// What was asked before, on this device alone.

import { forget, remember, remembered } from "./storage.js";

const NAME = "recent";
const MOST = 20;

/** The latest queries of a collection, the last one first. */
export function recentQueries(collection) {
  const kept = remembered(NAME, []);
  if (!Array.isArray(kept)) return [];
  return kept
    .filter((entry) => typeof entry?.q === "string" && (entry.collection ?? "") === collection)
    .map((entry) => entry.q);
}

/** Remember a query that somebody meant. */
export function addRecent(q, collection) {
  const text = q.trim();
  if (!text || text.length > 200) return;
  const others = without(text, collection);
  remember(NAME, [{ q: text, collection }, ...others].slice(0, MOST));
}

/** Forget one query. */
export function dropRecent(q, collection) {
  remember(NAME, without(q, collection));
}

/** Forget all of them. */
export function forgetRecent() {
  forget(NAME);
}

function without(q, collection) {
  const kept = remembered(NAME, []);
  if (!Array.isArray(kept)) return [];
  return kept.filter((entry) => entry?.q !== q || (entry.collection ?? "") !== collection);
}
