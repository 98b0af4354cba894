// The documents of the map: where they lie, which is nearest to a place, which are in a polygon.

export const NOWHERE = 65535;
const CELLS = 256;

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** The documents of one map, by their rows. */
export class Points {
  constructor(told) {
    const bytes = bytesOf(told.positions);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.count = told.n_documents;
    this.width = told.width;
    this.clusters = bytesOf(told.clusters);
    this.x = new Uint16Array(this.count);
    this.y = new Uint16Array(this.count);
    for (let row = 0; row < this.count; row++) {
      this.x[row] = view.getUint16(4 * row, true);
      this.y[row] = view.getUint16(4 * row + 2, true);
    }
    this.#sortIntoCells();
  }

  // Rows by the cell of a grid they lie in: begins[c] to begins[c + 1] in `rows`.
  #sortIntoCells() {
    const begins = new Uint32Array(CELLS * CELLS + 1);
    for (let row = 0; row < this.count; row++) {
      if (this.x[row] !== NOWHERE) begins[this.#cell(this.x[row], this.y[row]) + 1]++;
    }
    for (let cell = 0; cell < CELLS * CELLS; cell++) begins[cell + 1] += begins[cell];
    const next = begins.slice(0, -1);
    this.rows = new Uint32Array(begins[CELLS * CELLS]);
    for (let row = 0; row < this.count; row++) {
      if (this.x[row] !== NOWHERE) this.rows[next[this.#cell(this.x[row], this.y[row])]++] = row;
    }
    this.begins = begins;
  }

  #cell(x, y) {
    return (y >> 8) * CELLS + (x >> 8);
  }

  /** The row nearest to a place and no farther than `reach`, or -1. */
  nearest(x, y, reach) {
    const low = (value) => Math.max(0, Math.floor((value - reach) / 256));
    const high = (value) => Math.min(CELLS - 1, Math.floor((value + reach) / 256));
    let found = -1;
    let best = reach * reach;
    for (let down = low(y); down <= high(y); down++) {
      const end = this.begins[down * CELLS + high(x) + 1];
      for (let at = this.begins[down * CELLS + low(x)]; at < end; at++) {
        const row = this.rows[at];
        const apart = (this.x[row] - x) ** 2 + (this.y[row] - y) ** 2;
        if (apart <= best) [best, found] = [apart, row];
      }
    }
    return found;
  }
}

/** A path with fewer corners: those left out lie no farther than `slack` from it. */
export function simplified(path, slack) {
  if (path.length < 3) return path;
  const [first, last] = [path[0], path.at(-1)];
  let [farthest, most] = [0, slack];
  for (let at = 1; at < path.length - 1; at++) {
    const apart = distanceToLine(path[at], first, last);
    if (apart > most) [farthest, most] = [at, apart];
  }
  if (!farthest) return [first, last];
  const before = simplified(path.slice(0, farthest + 1), slack);
  return [...before.slice(0, -1), ...simplified(path.slice(farthest), slack)];
}

function distanceToLine([x, y], [x1, y1], [x2, y2]) {
  const length = Math.hypot(x2 - x1, y2 - y1);
  if (!length) return Math.hypot(x - x1, y - y1);
  return Math.abs((x2 - x1) * (y1 - y) - (x1 - x) * (y2 - y1)) / length;
}
