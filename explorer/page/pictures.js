/** Pictures of 32 x 32 pixels on canvases: an image, a perturbation around grey, a unit's weights. */

import { el } from "./controls.js";

/** A canvas of 32 x 32 for pictures, with words for who cannot see it. */
export function canvas(label, extra = "") {
  return el("canvas", { width: 32, height: 32, role: "img", "aria-label": label, class: `ex-picture ${extra}` });
}

/** Fill a canvas from 3072 numbers in 0..1 (others are cut off). */
export function paint(node, values) {
  const context = node.getContext("2d");
  const image = context.createImageData(32, 32);
  for (let i = 0; i < 1024; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = 255 * Math.min(1, Math.max(0, values[3 * i + c]));
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Show an image in its own full scale. */
export const showImage = (node, x, ceiling) => paint(node, Array.from(x, (value) => value / ceiling));

/** Show signed values around mid-grey, magnified until the largest is full; returns the factor in units of full scale. */
export function showSigned(node, values, ceiling = 1) {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  const factor = largest ? 0.5 / largest : 0;
  paint(node, Array.from(values, (value) => 0.5 + factor * value));
  return factor * ceiling;
}

const MOST_BYTES = 50e6;
const MOST_PIXELS = 60e6;

/** Pixels of a file the reader gives, {pixels, notes}: its middle square at 32 x 32. Throws sentences. */
export async function readFile(file) {
  if (file.size > MOST_BYTES) throw new Error(`“${file.name}” has ${Math.round(file.size / 1e6)} MB; give an image of at most ${MOST_BYTES / 1e6} MB.`);
  if (!file.size) throw new Error(`“${file.name}” is empty; give an image file, such as JPEG or PNG.`);
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    throw new Error(`“${file.name}” is no image that this browser can read; give a JPEG, PNG, GIF or WebP file.`);
  }
  const { width, height } = picture;
  if (width * height > MOST_PIXELS) {
    picture.close();
    throw new Error(`“${file.name}” is ${width} × ${height} pixels large; give an image of at most ${MOST_PIXELS / 1e6} million pixels.`);
  }
  const notes = [];
  const side = Math.min(width, height);
  if (width !== height) notes.push("its middle square was taken");
  if (side !== 32) notes.push(`${side} × ${side} pixels were scaled to 32 × 32`);
  // Halved until it is near: a browser that skips from thousands of pixels to 32 picks some and drops the rest.
  let source = picture;
  let [left, top, size] = [(width - side) / 2, (height - side) / 2, side];
  while (size > 64) {
    const half = Math.max(32, Math.ceil(size / 2));
    source = drawn(source, left, top, size, half);
    [left, top, size] = [0, 0, half];
  }
  const last = drawn(source, left, top, size, 32);
  picture.close();
  const { data } = last.getContext("2d").getImageData(0, 0, 32, 32);
  const pixels = new Uint8Array(3072);
  let clear = 0;
  for (let i = 0; i < 1024; i++) {
    const alpha = data[4 * i + 3] / 255;
    if (alpha < 1) clear++;
    for (let c = 0; c < 3; c++) pixels[3 * i + c] = Math.round(alpha * data[4 * i + c] + (1 - alpha) * 255);
  }
  if (clear === 1024 && data.every((value, i) => i % 4 < 3 || value === 0)) throw new Error(`“${file.name}” is transparent throughout, so there is nothing to see; give an image with something in it.`);
  if (clear) notes.push("what is transparent in it was laid on white");
  if (pixels.every((value) => value === 0)) throw new Error(`“${file.name}” is black throughout, and the networks see images in proportion to their brightness; give one with something in it.`);
  return { pixels, notes };
}

function drawn(source, left, top, size, target) {
  const node = el("canvas", { width: target, height: target });
  const context = node.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(source, left, top, size, size, 0, 0, target, target);
  return node;
}
