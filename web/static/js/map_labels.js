// Names of clusters and numbers of hits over the picture, never one upon another.

const GAP = 6;
const N_MARKS = 10;

/** Labels over a map: hits first, the best first, then clusters, the largest first. */
export class Labels {
  #names = [];
  #marks = [];

  /** `tools` lie above the picture, too: nothing is written below them. */
  constructor(place, tools) {
    this.place = place;
    this.tools = tools;
  }

  setClusters(named) {
    for (const { element } of this.#names) element.remove();
    this.#names = [...named]
      .sort((one, other) => other.n_documents - one.n_documents)
      .filter((cluster) => cluster.terms.length && cluster.n_documents)
      .map((cluster) => {
        const element = document.createElement("span");
        element.className = "cluster-name";
        element.textContent = cluster.terms.slice(0, 2).join(" · ");
        element.setAttribute("aria-hidden", "true");
        return this.#label(element, cluster.x, cluster.y);
      });
  }

  /** Number the best hits; `links` are the list's, each with its row and rank. */
  setHits(links, points) {
    for (const { element } of this.#marks) element.remove();
    this.#marks = links.slice(0, N_MARKS).map(({ row, rank, href, title }) => {
      const element = document.createElement("a");
      element.className = "hit-mark";
      element.href = href;
      element.textContent = rank;
      element.title = title;
      element.dataset.row = row;
      // The list beside says the same, and is where keys lead.
      element.tabIndex = -1;
      element.setAttribute("aria-hidden", "true");
      return this.#label(element, points.x[row], points.y[row]);
    });
  }

  #label(element, x, y) {
    this.place.append(element);
    return { element, x, y, width: element.offsetWidth, height: element.offsetHeight };
  }

  /** Put every label where its place is now; what would lie on another is not shown. */
  arrange(view, width, height) {
    const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = this.tools;
    const taken = [{ left: offsetLeft, top: offsetTop, right: offsetLeft + offsetWidth,
      bottom: offsetTop + offsetHeight }];
    for (const label of [...this.#marks, ...this.#names]) {
      const middle = label.x * view.scale + view.x;
      // What lies within the window is named within it.
      const cut = middle > 0 && middle < width;
      const wanted = middle - label.width / 2;
      const left = cut ? Math.max(4, Math.min(width - label.width - 4, wanted)) : wanted;
      const top = label.y * view.scale + view.y - label.height / 2;
      const box = { left, top, right: left + label.width, bottom: top + label.height };
      const seen = box.right > 0 && box.left < width && box.bottom > 0 && box.top < height;
      const free = seen && !taken.some((other) => overlap(box, other));
      label.element.style.visibility = free ? "visible" : "hidden";
      if (!free) continue;
      taken.push(box);
      label.element.style.transform = `translate(${left.toFixed(1)}px, ${top.toFixed(1)}px)`;
    }
  }
}

function overlap(one, other) {
  return (
    one.left < other.right + GAP && other.left < one.right + GAP &&
    one.top < other.bottom + GAP && other.top < one.bottom + GAP
  );
}
