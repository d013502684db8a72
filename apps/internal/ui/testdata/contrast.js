// Returns the texts of a page that can be seen and are hard to read: those whose contrast
// with what is behind them is below what WCAG 2.2 asks of level AA.
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const known = new Map();

  /** A colour as red, green, blue and alpha, whatever way it is written. */
  function parse(color) {
    if (!known.has(color)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
      known.set(color, [r, g, b, a / 255]);
    }
    return known.get(color);
  }

  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];

  const grounds = new Map();

  /** What is behind an element's text, and how much of the text is left by opacity. */
  function ground(element) {
    if (!element) return [[255, 255, 255], 1];
    if (!grounds.has(element)) {
      const [behind, left] = ground(element.parentElement);
      const { backgroundColor, opacity } = getComputedStyle(element);
      grounds.set(element, [over(parse(backgroundColor), behind), left * opacity]);
    }
    return grounds.get(element);
  }

  function luminance(color) {
    const [r, g, b] = color.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  function contrast(a, b) {
    const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (light + 0.05) / (dark + 0.05);
  }

  const bad = new Map();
  function look(element, text, style) {
    const [behind, opacity] = ground(element);
    const [r, g, b, a] = parse(element.ownerSVGElement ? style.fill : style.color);
    const ratio = contrast(over([r, g, b, a * opacity], behind), behind);
    const size = parseFloat(style.fontSize);
    const needs = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    if (ratio >= needs) return;
    const name = `${element.tagName.toLowerCase()}${element.id && `#${element.id}`}${[...element.classList].map((one) => `.${one}`).join("")}`;
    bad.set(name, `${name} "${text.trim().slice(0, 30)}" has ${ratio.toFixed(2)}: ${style.color} on ${behind.map(Math.round)}`);
  }

  const seen = (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest(":disabled, .sr-only, noscript, template");
  let count = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    if (!node.data.trim() || element.matches("textarea, option, script, style") || !seen(element)) continue;
    count++;
    look(element, node.data, getComputedStyle(element));
  }
  for (const field of document.querySelectorAll("input:not([type=hidden], [type=checkbox]), select, textarea")) {
    if (!seen(field)) continue;
    count++;
    if (field.placeholder && !field.value) look(field, field.placeholder, getComputedStyle(field, "::placeholder"));
    else if (!field.closest(".editor.live")) look(field, field.value, getComputedStyle(field));
  }
  for (const [name, ranges] of CSS.highlights ?? []) {
    for (const { startContainer: node, startOffset, endOffset } of ranges) {
      const element = node.parentElement;
      if (seen(element)) look(element, node.data.slice(startOffset, endOffset), getComputedStyle(element, `::highlight(${name})`));
    }
  }
  return count ? [...bad.values()] : ["there is nothing to read"];
})()
