/** The engine: what the page computes with, free of the DOM. Tests compare it with bioadv. */

export * from "./arrays.js";
export * from "./attacks.js";
export * from "./images.js";
export * from "./landscape.js";
export * from "./network.js";
export * as powerlaw from "./powerlaw.js";
