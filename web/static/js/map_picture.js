// Draws points, pixel by pixel into one image: 100,000 of them in a few milliseconds anywhere,
// without a graphics card.

import { NOWHERE } from "./map_points.js";

const MAX_RATIO = 2;
// The largest radius, in pixels of the screen.
const LARGEST = 12;

/** A disc: places of whole pixels, and of those at the edge with how far they are covered. */
function discOf(radius, rowLength) {
  const reach = Math.ceil(radius + 0.5);
  const [full, edge, covers] = [[], [], []];
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) {
      const cover = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(dx, dy)));
      if (cover > 0.9) full.push(dy * rowLength + dx);
      else if (cover > 0.05) {
        edge.push(dy * rowLength + dx);
        covers.push(cover);
      }
    }
  }
  return { reach, full: Int32Array.from(full), edge: Int32Array.from(edge), covers };
}

/** One canvas that shows points. */
export class Picture {
  #context;
  #image = null;
  #pixels = null;
  #margin = 0;

  constructor(canvas) {
    this.canvas = canvas;
    this.#context = canvas.getContext("2d");
  }

  /** Take the canvas's size on the screen; false where it has none. `coarse`: one pixel each. */
  resize(coarse) {
    const ratio = coarse ? 1 : Math.min(MAX_RATIO, devicePixelRatio || 1);
    const width = Math.round(this.canvas.clientWidth * ratio);
    const height = Math.round(this.canvas.clientHeight * ratio);
    if (!width || !height) return false;
    this.ratio = ratio;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    // With a margin all around, so that discs at the border need no care.
    this.#margin = Math.ceil(LARGEST * ratio) + 2;
    const [wide, high] = [width + 2 * this.#margin, height + 2 * this.#margin];
    if (this.#image?.width !== wide || this.#image?.height !== high) {
      this.#image = this.#context.createImageData(wide, high);
      this.#pixels = new Uint32Array(this.#image.data.buffer);
    }
    return true;
  }

  /**
   * Draw points.
   *
   * `view`: scale and shift from the map's units to pixels of the screen. `layers`: each with
   * `rows` (all when null), `radius` in pixels of the screen, `colors` by cluster as [r, g, b],
   * the last of them for what has none, and, where it is not 1, `strength`.
   */
  draw(points, view, layers) {
    this.#pixels.fill(0);
    layers.forEach((layer, depth) => this.#drawLayer(points, view, layer, depth > 0));
    this.#context.putImageData(this.#image, -this.#margin, -this.#margin);
  }

  #drawLayer(points, view, { rows, radius, colors, strength = 1 }, over) {
    const pixels = this.#pixels;
    const { width, height } = this.#image;
    const disc = discOf(Math.min(radius, LARGEST) * this.ratio, width);
    const { full, edge, covers } = disc;
    const inks = inksOf(colors, 255 * strength);
    const faint = covers.map((cover) => inksOf(colors, 255 * strength * cover));
    const scale = view.scale * this.ratio;
    const left = view.x * this.ratio + this.#margin;
    const top = view.y * this.ratio + this.#margin;
    const { x: xs, y: ys, clusters } = points;
    const count = rows ? rows.length : points.count;
    const [right, bottom] = [width - disc.reach, height - disc.reach];
    for (let at = 0; at < count; at++) {
      const row = rows ? rows[at] : at;
      if (xs[row] === NOWHERE) continue;
      const x = (xs[row] * scale + left + 0.5) | 0;
      const y = (ys[row] * scale + top + 0.5) | 0;
      if (x < disc.reach || y < disc.reach || x >= right || y >= bottom) continue;
      const place = y * width + x;
      const cluster = clusters[row];
      for (let one = 0; one < full.length; one++) pixels[place + full[one]] = inks[cluster];
      for (let one = 0; one < edge.length; one++) {
        const pixel = place + edge[one];
        // Among so many points nobody sees how edges meet; those on top are drawn with care.
        if (pixels[pixel] === 0) pixels[pixel] = faint[one][cluster];
        else if (over) pixels[pixel] = blended(pixels[pixel], inks[cluster], covers[one]);
      }
    }
  }
}

// Little-endian, as every machine is that runs a browser: red lies lowest.
function inksOf(colors, alpha) {
  const packed = ([red, green, blue]) => ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  const inks = new Uint32Array(256).fill(packed(colors.at(-1)));
  colors.slice(0, -1).forEach((color, cluster) => { inks[cluster] = packed(color); });
  return inks;
}

function blended(below, ink, share) {
  const mix = (shift) => {
    const under = (below >>> shift) & 255;
    return (under + (((ink >>> shift) & 255) - under) * share) | 0;
  };
  return ((mix(24) << 24) | (mix(16) << 16) | (mix(8) << 8) | mix(0)) >>> 0;
}
