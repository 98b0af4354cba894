// Where one looks at the map: moved by pointers, the wheel and keys.

const NEAREST = 90;
const FARTHEST = 0.6;
const MARGIN = 0.94;
const STEP = 1.6;
// A pointer that moved less than this many pixels was not moved.
const STILL = 5;
const FLIGHT_MS = 350;

const calm = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * What part of the map is seen, and how near.
 *
 * A place of the map is at `unit * scale + x` pixels of the screen. `changed(moving)` is called
 * after each change; `tapped(x, y, event)` and `pointed(x, y, event)` tell of places on the screen;
 * `draw` takes the pointer's path while `drawing` is set.
 */
export class View {
  scale = 1;
  x = 0;
  y = 0;
  drawing = false;
  #pointers = new Map();
  #moved = 0;
  #path = null;
  #flight = 0;

  constructor(sheet, canvas, width, { changed, tapped, pointed, draw }) {
    Object.assign(this, { sheet, canvas, width, changed, tapped, pointed, draw });
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#up(event, true));
    canvas.addEventListener("pointerleave", (event) => this.#pointers.size || pointed(null, null, event));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("dblclick", (event) => this.zoom(STEP * STEP, ...this.#at(event)));
    sheet.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Pixels of the screen for each unit of the map when all of it is seen. */
  get whole() {
    return (Math.min(this.canvas.clientWidth, this.canvas.clientHeight) * MARGIN) / this.width;
  }

  /** Look at all of it. */
  showAll(at_once = false) {
    this.#show(this.width / 2, this.width / 2, this.whole, at_once);
  }

  /** Look at a part, given by its corners. */
  showPart(left, top, right, bottom) {
    const wide = this.canvas.clientWidth / Math.max(right - left, 1);
    const high = this.canvas.clientHeight / Math.max(bottom - top, 1);
    const scale = this.#within(Math.min(wide, high) * 0.8);
    this.#show((left + right) / 2, (top + bottom) / 2, scale);
  }

  /** Keep the middle where it is in a window of another size. */
  resized(before) {
    if (!before) return this.showAll(true);
    this.x += (this.canvas.clientWidth - before.width) / 2;
    this.y += (this.canvas.clientHeight - before.height) / 2;
    this.changed(false);
  }

  /** Come nearer to a place on the screen, or go farther from it. */
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    cancelAnimationFrame(this.#flight);
    const scale = this.#within(this.scale * factor);
    this.x = x - (x - this.x) * (scale / this.scale);
    this.y = y - (y - this.y) * (scale / this.scale);
    this.scale = scale;
    this.changed(true);
  }

  move(dx, dy) {
    cancelAnimationFrame(this.#flight);
    this.x += dx;
    this.y += dy;
    this.changed(true);
  }

  /** The place of the map at a place on the screen. */
  unitsAt(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  #within(scale) {
    return Math.min(this.whole * NEAREST, Math.max(this.whole * FARTHEST, scale));
  }

  #show(unitX, unitY, scale, at_once = false) {
    cancelAnimationFrame(this.#flight);
    const [fromX, fromY] = this.unitsAt(this.canvas.clientWidth / 2, this.canvas.clientHeight / 2);
    const from = this.scale;
    const look = (share) => {
      this.scale = from * (scale / from) ** share;
      this.x = this.canvas.clientWidth / 2 - (fromX + (unitX - fromX) * share) * this.scale;
      this.y = this.canvas.clientHeight / 2 - (fromY + (unitY - fromY) * share) * this.scale;
      this.changed(share < 1);
    };
    if (at_once || calm.matches) return look(1);
    const began = performance.now();
    const step = (now) => {
      const share = Math.min(1, Math.max(0, (now - began) / FLIGHT_MS));
      look(1 - (1 - share) ** 3);
      if (share < 1) this.#flight = requestAnimationFrame(step);
    };
    this.#flight = requestAnimationFrame(step);
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event) {
    if (event.button > 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.#at(event);
    this.#pointers.set(event.pointerId, at);
    this.#moved = this.#pointers.size > 1 ? Infinity : 0;
    this.#path = (this.drawing || event.shiftKey) && this.#pointers.size === 1 ? [at] : null;
  }

  #move(event) {
    const at = this.#at(event);
    const before = this.#pointers.get(event.pointerId);
    if (!before) return this.pointed(...at, event);
    this.#moved += Math.hypot(at[0] - before[0], at[1] - before[1]);
    this.#pointers.set(event.pointerId, at);
    if (this.#path) {
      this.#path.push(at);
      this.draw(this.#path, false);
    } else if (this.#pointers.size === 2) {
      this.#pinch(event.pointerId, before, at);
    } else if (this.#moved > STILL) {
      this.sheet.classList.add("moving");
      this.move(at[0] - before[0], at[1] - before[1]);
    }
  }

  #pinch(moved, before, at) {
    const [, other] = [...this.#pointers].find(([id]) => id !== moved);
    const apart = (one) => Math.max(1, Math.hypot(one[0] - other[0], one[1] - other[1]));
    this.zoom(apart(at) / apart(before), (at[0] + other[0]) / 2, (at[1] + other[1]) / 2);
    this.move((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
  }

  #up(event, cancelled = false) {
    if (!this.#pointers.delete(event.pointerId)) return;
    this.sheet.classList.remove("moving");
    const path = this.#path;
    this.#path = null;
    if (path) this.draw(cancelled ? null : path, true);
    else if (!cancelled && this.#moved <= STILL) this.tapped(...this.#at(event), event);
    else this.changed(false);
  }

  #wheel(event) {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? 300 : 1);
    this.zoom(Math.exp(-pixels / (event.ctrlKey ? 100 : 420)), ...this.#at(event));
  }

  #key(event) {
    if (event.target !== this.sheet || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowLeft: () => this.move(60, 0),
      ArrowRight: () => this.move(-60, 0),
      ArrowUp: () => this.move(0, 60),
      ArrowDown: () => this.move(0, -60),
      "+": () => this.zoom(STEP),
      "=": () => this.zoom(STEP),
      "-": () => this.zoom(1 / STEP),
      0: () => this.showAll(),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}
