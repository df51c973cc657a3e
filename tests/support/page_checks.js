// What a page that is shown must not have. The value of this program: for each check the problems found, as sentences;
// under `texts`, every text that can be seen, with its colour and its place: the contrast is measured in a picture.
(() => {
  const SMALLEST_TEXT = 9; // pixels on the screen
  const root = document.documentElement;
  const isPrint = matchMedia("print").matches;
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });
  const every = [...document.querySelectorAll("body, body *")].filter(shown);
  const shortened = (text) => text.trim().replace(/\s+/g, " ").slice(0, 50);

  function name(element) {
    const id = element.id ? `#${element.id}` : "";
    const kinds = [...element.classList].map((each) => `.${each}`).join("");
    const text = shortened(element.textContent);
    return `<${element.localName}${id}${kinds}>${text ? ` "${text}"` : ""}`;
  }

  const words = (text) => text.split(/\s+/).filter(Boolean);

  function textOf(ids) {
    const text = (id) => document.getElementById(id)?.textContent ?? "";
    return words(ids ?? "").map(text).join(" ");
  }

  // --- Pictures have a text ---------------------------------------------------------------------------------------

  function textFor(element) {
    const given = textOf(element.getAttribute("aria-labelledby")) || element.getAttribute("aria-label");
    if (given) return given;
    if (element.localName !== "svg") return element.getAttribute("alt");
    return element.querySelector(":scope > title")?.textContent;
  }

  function pictures() {
    const problems = [];
    for (const element of document.querySelectorAll("img, svg, canvas, object, embed, [role=img], input[type=image]")) {
      if (element.parentElement.closest("svg")) continue;
      if ((textFor(element) ?? "").trim().length < 3) problems.push(`${name(element)} has no text`);
      if (element.localName === "svg" && element.getAttribute("role") !== "img")
        problems.push(`${name(element)} has no role="img": every label in it is read out`);
      if (element.localName === "img" && !(element.complete && element.naturalWidth > 0))
        problems.push(`${name(element)} shows nothing`);
    }
    return problems;
  }

  // --- Nothing overflows ------------------------------------------------------------------------------------------

  const scrolls = (element) => /auto|scroll/.test(getComputedStyle(element).overflowX);

  function scroller(element) {
    for (let each = element.parentElement; each && each !== document.body; each = each.parentElement)
      if (scrolls(each)) return each;
    return null;
  }

  function overflows() {
    const problems = [];
    const width = root.clientWidth;
    if (root.scrollWidth > width) problems.push(`the page is ${root.scrollWidth} pixels wide where there are ${width}`);
    for (const element of every) {
      if (element.closest("svg") || element === document.body) continue;
      const box = element.getBoundingClientRect();
      if (box.width <= 1 || box.height <= 1) continue; // there for those who listen
      if (!scroller(element) && (box.right > width + 1 || box.left < -1))
        problems.push(`${name(element)}: from ${Math.round(box.left)} to ${Math.round(box.right)} of ${width} pixels`);
      problems.push(...tooMuchIn(element));
    }
    return problems;
  }

  function tooMuchIn(element) {
    if (element.clientWidth <= 1) return []; // it is inline: its block is looked at
    const style = getComputedStyle(element);
    const isWider = element.scrollWidth > element.clientWidth + 1;
    const isHigher = element.scrollHeight > element.clientHeight + 1;
    if (scrolls(element)) return isWider && isPrint ? [`${name(element)} would have to be scrolled, on paper`] : [];
    if (isWider) return [`${name(element)}: ${element.scrollWidth} pixels of content in ${element.clientWidth}`];
    return isHigher && /hidden|clip/.test(style.overflowY) ? [`${name(element)} cuts off its last lines`] : [];
  }

  // --- The labels of drawings can be read -------------------------------------------------------------------------

  function drawings() {
    const problems = [];
    for (const drawing of document.querySelectorAll("svg")) {
      if (!shown(drawing) || drawing.parentElement.closest("svg")) continue;
      const frame = drawing.getBoundingClientRect();
      const labels = [...drawing.querySelectorAll("text")].filter((each) => shown(each) && each.textContent.trim());
      const boxes = labels.map((each) => each.getBoundingClientRect());
      labels.forEach((label, index) => {
        if (!isWithin(boxes[index], frame))
          problems.push(`"${shortened(label.textContent)}" is cut off at the edge of ${title(drawing)}`);
        const size = sizeOf(label);
        if (!isPrint && size < SMALLEST_TEXT)
          problems.push(`"${shortened(label.textContent)}" is ${size.toFixed(1)} pixels small in ${title(drawing)}`);
      });
      problems.push(...collisions(labels, boxes, title(drawing)));
    }
    return problems;
  }

  function isWithin(box, frame) {
    const isWide = box.left < frame.left - 2 || box.right > frame.right + 2;
    return !isWide && box.top >= frame.top - 2 && box.bottom <= frame.bottom + 2;
  }

  const title = (drawing) => `the drawing "${shortened(textFor(drawing) ?? "")}"`;

  function sizeOf(label) {
    const matrix = label.getScreenCTM();
    return parseFloat(getComputedStyle(label).fontSize) * Math.hypot(matrix.c, matrix.d);
  }

  function isStraight(label) {
    const matrix = label.getScreenCTM();
    return Math.abs(matrix.a * matrix.b) < 1e-6; // turned by a quarter or not at all: its box is its own
  }

  function collisions(labels, boxes, where) {
    const problems = [];
    const straight = labels.map((label, index) => [label, boxes[index]]).filter(([label]) => isStraight(label));
    straight.sort(([, one], [, other]) => one.left - other.left);
    straight.forEach(([label, box], index) => {
      for (const [other, place] of straight.slice(index + 1)) {
        if (place.left > box.right) break;
        const wide = Math.min(box.right, place.right) - place.left;
        const high = Math.min(box.bottom, place.bottom) - Math.max(box.top, place.top);
        // A box has the height of a line, above and below the letters.
        if (wide > 2 && high > 0.35 * Math.min(box.height, place.height))
          problems.push(`"${shortened(label.textContent)}" lies over "${shortened(other.textContent)}" in ${where}`);
      }
    });
    return problems;
  }

  // --- Those who listen, and links, find their way -----------------------------------------------------------------

  function headings() {
    const found = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")];
    const problems = found.filter((each) => !each.textContent.trim()).map((each) => `${name(each)} is empty`);
    const firsts = found.filter((each) => each.localName === "h1").length;
    if (firsts !== 1) problems.push(`expected one h1; there are ${firsts}`);
    let last = 0;
    for (const each of found) {
      const level = Number(each.localName[1]);
      if (level > last + 1) problems.push(`${name(each)} follows h${last}`);
      last = level;
    }
    return problems;
  }

  function names() {
    const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
    const known = new Set(ids);
    const twice = new Set(ids.filter((id, index) => ids.indexOf(id) !== index));
    const problems = [...twice].map((id) => `id ${id} is there more than once`);
    for (const element of document.querySelectorAll("*")) {
      for (const { localName, value } of element.attributes) {
        for (const id of referred(localName, value))
          if (!known.has(id)) problems.push(`${name(element)}: ${localName} refers to ${id}, which is not there`);
      }
    }
    return problems;
  }

  function referred(attribute, value) {
    if (/^(aria-(labelledby|describedby|details|controls)|headers|for)$/.test(attribute)) return words(value);
    if (attribute === "href" && value.startsWith("#")) return value === "#" ? [] : [decodeURIComponent(value.slice(1))];
    if (/^(alt|title|aria-label|content|src)$/.test(attribute)) return []; // a class may be called anything
    return [...value.matchAll(/url\(\s*["']?#([^"')]+)["']?\s*\)/g)].map((match) => match[1]);
  }

  function structure() {
    const problems = [];
    if (!root.lang) problems.push("the page does not say its language");
    if (!document.title.trim()) problems.push("the page has no title");
    if (!document.querySelector("meta[name=viewport]")) problems.push("the page does not fit itself to a phone");
    if (document.querySelector("meta[name=color-scheme]")?.content !== "light dark")
      problems.push("the page does not say that it has two colour schemes");
    if (document.querySelectorAll("main").length !== 1) problems.push("the page has no main part, or several");
    const policy = document.querySelector("meta[http-equiv=Content-Security-Policy]")?.content ?? "";
    if (!/default-src 'none'/.test(policy)) problems.push("the page does not forbid itself the network");
    for (const table of document.querySelectorAll("table")) {
      if (!table.caption?.textContent.trim() && !textFor(table)) problems.push(`${name(table)} has no caption`);
      const heads = [...table.querySelectorAll("th")];
      if (!heads.length) problems.push(`${name(table)} has no headings`);
      for (const head of heads) if (!head.scope) problems.push(`${name(head)} does not say what it is the heading of`);
    }
    for (const figure of document.querySelectorAll("figure"))
      if (!figure.querySelector("figcaption")?.textContent.trim()) problems.push(`${name(figure)} has no caption`);
    return problems;
  }

  function scripts() {
    const kinds = "script, iframe, object, embed, form, base, link, meta[http-equiv=refresh]";
    const problems = [...document.querySelectorAll(kinds)].map((each) => `${name(each)} is in the page`);
    for (const element of document.querySelectorAll("*"))
      for (const { localName, value } of element.attributes)
        if (localName.startsWith("on") || /^\s*javascript:/i.test(value))
          problems.push(`${name(element)}: ${localName} would run`);
    return problems;
  }

  // A name that is written from right to left turns round what stands beside it, unless it is kept apart.
  const TURNED = /[\u0590-\u08ff\u200f\u202b\u202e\u2067\ufb1d-\ufdff\ufe70-\ufefe]/;
  const TURNS_ALL = /^[\u202b\u202e\u2067]/;

  function directions() {
    return textNodes()
      .filter((node) => TURNED.test(node.data) && !isApart(node))
      .map((node) => `${name(node.parentElement)} is not kept apart from the text around it`);
  }

  function isApart(node) {
    if (node.parentElement.closest("svg")) return true;
    const text = node.data.trim();
    const isAlone = TURNS_ALL.test(text) || !/[a-z0-9]/i.test(text);
    for (let each = node.parentElement; each; each = each.parentElement) {
      const style = getComputedStyle(each);
      if (style.display !== "inline") return isAlone && each.textContent.trim() === text;
      if (/isolate|plaintext/.test(style.unicodeBidi)) return true;
    }
    return false;
  }

  // --- Every text with its colour and its place --------------------------------------------------------------------

  function textNodes() {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
      const node = walker.currentNode;
      const isProse = !/^(style|script|title|desc|defs|metadata)$/.test(node.parentElement.localName);
      if (node.data.trim() && isProse && shown(node.parentElement)) found.push(node);
    }
    return found;
  }

  const brush = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", {
    willReadFrequently: true,
  });

  // Return red, green, blue and alpha of a colour, in whatever way it is written.
  function channels(colour) {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data];
  }

  function opacity(element) {
    let product = 1;
    for (let each = element; each; each = each.parentElement) product *= Number(getComputedStyle(each).opacity);
    return product;
  }

  // The part of a box that its scrolling containers leave to be seen, in the coordinates of the page.
  function seen(box, element) {
    let { left, top, right, bottom } = box;
    [left, right] = [Math.max(left, 0), Math.min(right, root.clientWidth)];
    for (let each = scroller(element); each; each = scroller(each)) {
      const frame = each.getBoundingClientRect();
      [left, right] = [Math.max(left, frame.left), Math.min(right, frame.right)];
      [top, bottom] = [Math.max(top, frame.top), Math.min(bottom, frame.bottom)];
    }
    return [left + scrollX, top + scrollY, right + scrollX, bottom + scrollY].map(Math.round);
  }

  const hasArea = ([left, top, right, bottom]) => right - left > 1 && bottom - top > 1;

  function texts() {
    return textNodes().map((node) => {
      const element = node.parentElement;
      const style = getComputedStyle(element);
      const range = document.createRange();
      range.selectNodeContents(node);
      const [red, green, blue, alpha] = channels(element.closest("svg") ? style.fill : style.color);
      return {
        text: shortened(node.data),
        where: name(element),
        colour: [red, green, blue],
        alpha: (alpha / 255) * opacity(element) * (element.closest("svg") ? Number(style.fillOpacity) : 1),
        boxes: [...range.getClientRects()].map((box) => seen(box, element)).filter(hasArea),
      };
    });
  }

  return {
    pictures: pictures(),
    overflows: overflows(),
    drawings: drawings(),
    headings: headings(),
    names: names(),
    structure: structure(),
    scripts: scripts(),
    directions: directions(),
    texts: texts(),
  };
})();
